// Attention of the GPU in fp32 against the CPU in fp64.
#include "core/ops/attention.hpp"

#include <cmath>

#include "tests/support/cuda.hpp"

namespace lockstep {
namespace {

using test::gpu;
using test::numbers;
using test::on_cpu;
using test::on_gpu;
using test::tolerance;

class CudaAttention : public test::CudaTest {};

struct Results {
  Tensor y, lse, dqkv;
};

// q, k and v as columns of one matrix, as the model has them.
Results run(const Tensor& qkv, const Tensor& dy, const AttentionSpec& spec) {
  const index_t width = spec.heads * spec.head_size;
  const auto part = [&](const Tensor& fused, index_t i) {
    return fused.column_range(i * width, width);
  };
  Results r{Tensor::empty(dy.shape(), dy.dtype(), dy.device()),
            Tensor::empty({spec.B, spec.heads, spec.T_q}, dy.dtype(), dy.device()),
            Tensor::empty(qkv.shape(), qkv.dtype(), qkv.device())};
  attention_forward(r.y, r.lse, part(qkv, 0), part(qkv, 1), part(qkv, 2), spec);
  Tensor dq = part(r.dqkv, 0), dk = part(r.dqkv, 1), dv = part(r.dqkv, 2);
  attention_backward(dq, dk, dv, dy, part(qkv, 0), part(qkv, 1), part(qkv, 2), r.y, r.lse, spec);
  return r;
}

AttentionSpec spec_of(index_t B, index_t T, index_t heads, index_t head_size, Mask mask) {
  AttentionSpec spec;
  spec.B = B;
  spec.T_q = spec.T_k = T;
  spec.heads = spec.kv_heads = heads;
  spec.head_size = head_size;
  spec.scale = 1.0 / std::sqrt(static_cast<double>(head_size));
  spec.mask = mask;
  return spec;
}

void expect_follows(const AttentionSpec& spec) {
  const index_t N = spec.B * spec.T_q, width = spec.heads * spec.head_size;
  const Tensor qkv = numbers({N, 3 * width}, 1), dy = numbers({N, width}, 2);
  AttentionSpec there = spec;
  there.lengths = spec.lengths.to(gpu);
  there.sample_ids = spec.sample_ids.to(gpu);

  const Results cpu = run(qkv, dy, spec);
  const Results cuda = run(on_gpu(qkv), on_gpu(dy), there);

  const double bound = tolerance(DType::f32, spec.T_k + spec.head_size);
  EXPECT_LE(test::relative_error(on_cpu(cuda.y), cpu.y), bound);
  EXPECT_LE(test::relative_error(on_cpu(cuda.lse), cpu.lse), bound);
  EXPECT_LE(test::relative_error(on_cpu(cuda.dqkv), cpu.dqkv), bound);
}

TEST_F(CudaAttention, FollowsWithEitherMask) {
  for (const Mask mask : {Mask::full, Mask::causal}) {
    expect_follows(spec_of(2, 37, 3, 16, mask));
    expect_follows(spec_of(1, 70, 1, 43, mask));
    expect_follows(spec_of(1, 1, 2, 8, mask));
    expect_follows(spec_of(1, 33, 1, 256, mask));
  }
}

TEST_F(CudaAttention, RowsPastTheLengthAreZero) {
  for (const Mask mask : {Mask::full, Mask::causal}) {
    AttentionSpec spec = spec_of(4, 35, 2, 16, mask);
    spec.lengths = Tensor::from<std::int32_t>({35, 0, 1, 33}, {4});

    expect_follows(spec);
  }
}

TEST_F(CudaAttention, MoreKeysThanQueries) {
  AttentionSpec spec = spec_of(2, 9, 2, 16, Mask::full);
  spec.T_k = 40;
  const index_t width = 32;
  const Tensor q = numbers({18, width}, 1), k = numbers({80, width}, 2),
               v = numbers({80, width}, 3);
  const auto forward = [&](const Tensor& q, const Tensor& k, const Tensor& v) {
    Tensor y = Tensor::empty(q.shape(), q.dtype(), q.device());
    Tensor lse = Tensor::empty({2, 2, 9}, q.dtype(), q.device());
    attention_forward(y, lse, q, k, v, spec);
    return y;
  };

  const Tensor y = forward(q, k, v);
  const Tensor y_gpu = forward(on_gpu(q), on_gpu(k), on_gpu(v));

  EXPECT_LE(test::relative_error(on_cpu(y_gpu), y), tolerance(DType::f32, 56));
}

TEST_F(CudaAttention, DropsTheProbabilitiesTheCpuDrops) {
  AttentionSpec spec = spec_of(2, 37, 2, 16, Mask::causal);
  spec.dropout = 0.4;
  spec.dropout_key = philox_key(1, 2, 3);
  spec.sample_ids = Tensor::from<std::int64_t>({(std::int64_t{1} << 40) + 1, 6}, {2});
  spec.first_head = 4;

  expect_follows(spec);
}

}  // namespace
}  // namespace lockstep
