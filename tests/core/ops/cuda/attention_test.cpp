// Attention of the GPU in fp32 against the CPU in fp64.
#include "core/ops/attention.hpp"

#include <cmath>

#include "core/ops/attention_merge.hpp"
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

// A run of keys of a longer sequence, and the rest of it merged in: what one rank of a ring does.
TEST_F(CudaAttention, RunsOfKeysMergeIntoTheWhole) {
  constexpr index_t B = 3, T_q = 37, width = 32;
  AttentionSpec early = spec_of(B, T_q, 2, 16, Mask::causal);
  early.first_query = 21;
  early.T_k = 21;
  early.lengths = Tensor::from<std::int32_t>({58, 40, 9}, {B});
  early.dropout = 0.3;
  early.dropout_key = philox_key(1, 2, 3);
  early.sample_ids = Tensor::from<std::int64_t>({3, 4, 5}, {B});
  AttentionSpec own = early;
  own.first_key = 21;
  own.T_k = T_q;
  const Tensor q = numbers({B * T_q, width}, 1), k_early = numbers({B * 21, width}, 2),
               v_early = numbers({B * 21, width}, 3), k = numbers({B * T_q, width}, 4),
               v = numbers({B * T_q, width}, 5), dy = numbers({B * T_q, width}, 6);
  struct Results {
    Tensor y, lse, dq, dk, dv;
  };
  const auto run = [&](const auto& put, AttentionSpec first, AttentionSpec second) {
    for (AttentionSpec* spec : {&first, &second}) {
      spec->lengths = put(spec->lengths);
      spec->sample_ids = put(spec->sample_ids);
    }
    const Tensor queries = put(q);
    Results r{put(q).clone(), put(numbers({B, 2, T_q}, 7)), put(q).clone(), put(k_early).clone(),
              put(v_early).clone()};
    Tensor y_part = r.y.clone(), lse_part = r.lse.clone();
    attention_forward(r.y, r.lse, queries, put(k), put(v), second);
    attention_forward(y_part, lse_part, queries, put(k_early), put(v_early), first);
    attention_merge(r.y, r.lse, y_part, lse_part, first);
    attention_backward(r.dq, r.dk, r.dv, put(dy), queries, put(k_early), put(v_early), r.y, r.lse,
                       first);
    return r;
  };

  const Results cpu = run([](const Tensor& x) { return x; }, early, own);
  const Results cuda = run(
      [](const Tensor& x) { return x.dtype() == DType::f64 ? on_gpu(x) : x.to(gpu); }, early, own);

  const double bound = tolerance(DType::f32, 58 + 16);
  EXPECT_LE(test::relative_error(on_cpu(cuda.y), cpu.y), bound);
  EXPECT_LE(test::relative_error(on_cpu(cuda.lse), cpu.lse), bound);
  EXPECT_LE(test::relative_error(on_cpu(cuda.dq), cpu.dq), bound);
  EXPECT_LE(test::relative_error(on_cpu(cuda.dk), cpu.dk), bound);
  EXPECT_LE(test::relative_error(on_cpu(cuda.dv), cpu.dv), bound);
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
