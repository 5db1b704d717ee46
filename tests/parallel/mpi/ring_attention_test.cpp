// Attention round a ring of ranks against the same attention on one: values and gradients of every
// row, with dropout and padding.
#include "core/nn/ring_attention.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/support/gradcheck.hpp"
#include "tests/support/mpi.hpp"
#include "tests/support/tolerance.hpp"

namespace lockstep {
namespace {

using test::environment;
using test::random_tensor;
using test::relative_error;

constexpr index_t B = 3, T = 48, NH = 2, HS = 4, A = NH * HS;  // T: of whole samples

AttentionSpec spec_of(index_t positions, Mask mask, bool padded) {
  AttentionSpec spec;
  spec.B = B;
  spec.T_q = spec.T_k = positions;
  spec.heads = spec.kv_heads = NH;
  spec.head_size = HS;
  spec.scale = 1 / std::sqrt(static_cast<double>(HS));
  spec.mask = mask;
  spec.dropout = 0.25;
  spec.dropout_key = {3, 4};
  spec.sample_ids = Tensor::from<std::int64_t>({5, 9, 1000}, {B});
  // One sample whole, one that ends inside a chunk, one shorter than the first chunk.
  if (padded) spec.lengths = Tensor::from<std::int32_t>({T, 29, 2}, {B});
  return spec;
}

// The rows of x (B*T, C) that a rank holds, in its order.
Tensor part_of(const Tensor& x, SequenceCut cut) {
  const index_t own = T / cut.size, S = cut.chunk_length(own);
  Tensor part = Tensor::empty({B * own, x.columns()}, x.dtype());
  for (int i = 0; i < cut.num_chunks(); ++i) {
    for (index_t b = 0; b < B; ++b) {
      part.range((i * B + b) * S, S).copy_from(x.range(b * T + cut.first_position(i, own), S));
    }
  }
  return part;
}

TEST(RingAttention, GivesTheRowsOfTheWhole) {
  Group& cp = environment().world();
  const SequenceCut cut{cp.rank(), cp.size()};
  const Tensor qkv = random_tensor({B * T, 3 * A}, DType::f64, 1);
  const Tensor dy = random_tensor({B * T, A}, DType::f64, 2);
  LocalGroup one;
  for (const Mask mask : {Mask::causal, Mask::full}) {
    for (const bool padded : {false, true}) {
      const AttentionSpec whole = spec_of(T, mask, padded),
                          own = spec_of(T / cut.size, mask, padded);
      Tensor y = Tensor::empty({B * T, A}, DType::f64), lse = Tensor::empty({B, NH, T}, DType::f64);
      Tensor dqkv = Tensor::empty(qkv.shape(), DType::f64);
      ring_attention_forward(y, lse, qkv, whole, {}, one);
      ring_attention_backward(dqkv, dy, qkv, y, lse, whole, {}, one);
      const Tensor qkv_part = part_of(qkv, cut), dy_part = part_of(dy, cut);
      Tensor y_part = Tensor::empty(dy_part.shape(), DType::f64);
      Tensor lse_part = Tensor::empty({B, NH, T / cut.size}, DType::f64);
      Tensor dqkv_part = Tensor::empty(qkv_part.shape(), DType::f64);

      ring_attention_forward(y_part, lse_part, qkv_part, own, cut, cp);
      ring_attention_backward(dqkv_part, dy_part, qkv_part, y_part, lse_part, own, cut, cp);

      const double bound = test::tolerance(DType::f64, T * HS);
      EXPECT_LE(relative_error(y_part, part_of(y, cut)), bound) << padded;
      EXPECT_LE(relative_error(dqkv_part, part_of(dqkv, cut)), bound) << padded;
    }
  }
}

TEST(RingAttention, SendsKeysTwiceAndGradientsTwice) {
  Group& cp = environment().world();
  const SequenceCut cut{cp.rank(), cp.size()};
  const AttentionSpec spec = spec_of(T / cut.size, Mask::causal, false);
  const Tensor qkv = random_tensor({B * T / cut.size, 3 * A}, DType::f64, 1);
  Tensor y = Tensor::empty({qkv.rows(), A}, DType::f64);
  Tensor lse = Tensor::empty({B, NH, T / cut.size}, DType::f64);
  Tensor dqkv = Tensor::empty(qkv.shape(), DType::f64);
  environment().reset_traffic();

  ring_attention_forward(y, lse, qkv, spec, cut, cp);
  ring_attention_backward(dqkv, y, qkv, y, lse, spec, cut, cp);

  std::int64_t elements = 0;
  for (const TrafficRow& row : environment().traffic()) elements += row.elements;
  EXPECT_EQ(elements, 6 * (cut.size - 1) * B * T / cut.size * A);
}

}  // namespace
}  // namespace lockstep
