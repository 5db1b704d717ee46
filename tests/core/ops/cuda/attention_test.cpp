// Attention of the GPU, in fp32 by kernels of ours and in bf16 by cuDNN, against the CPU in fp64.
#include "core/ops/attention.hpp"

#include <cmath>
#include <cstring>

#include "core/cuda/runtime.hpp"
#include "core/ops/attention_merge.hpp"
#include "tests/support/cuda.hpp"

namespace lockstep {
namespace {

using test::gpu;
using test::numbers;
using test::on_cpu;
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

// What both devices compute with: numbers that bf16 holds.
Tensor short_numbers(Shape shape, std::uint64_t seed) {
  Tensor x = numbers(shape, seed);
  for (index_t i = 0; i < x.count(); ++i)
    test::set_value(x, i, std::round(test::value_at(x, i) * 64) / 64);
  return x;
}

AttentionSpec on_gpu(const AttentionSpec& spec) {
  AttentionSpec there = spec;
  there.lengths = spec.lengths.to(gpu);
  there.sample_ids = spec.sample_ids.to(gpu);
  return there;
}

void expect_follows(const AttentionSpec& spec) {
  const index_t N = spec.B * spec.T_q, width = spec.heads * spec.head_size;
  const Tensor qkv = short_numbers({N, 3 * width}, 1), dy = short_numbers({N, width}, 2);

  const Results cpu = run(qkv, dy, spec);
  const Results cuda = run(test::on_gpu(qkv), test::on_gpu(dy), on_gpu(spec));

  // By cuDNN the probabilities and y are rounded; then y again, dS and each gradient.
  const double exact = tolerance(DType::f32, spec.T_k + spec.head_size);
  const bool plain = !why_plain_attention(gpu, on_gpu(spec)).empty();
  EXPECT_LE(test::relative_error(on_cpu(cuda.y), cpu.y), plain ? exact : test::bf16_tolerance(2));
  EXPECT_LE(test::relative_error(on_cpu(cuda.lse), cpu.lse), exact);
  EXPECT_LE(test::relative_error(on_cpu(cuda.dqkv), cpu.dqkv),
            plain ? exact : test::bf16_tolerance(4));
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
  const Tensor y_gpu = forward(test::on_gpu(q), test::on_gpu(k), test::on_gpu(v));

  EXPECT_LE(test::relative_error(on_cpu(y_gpu), y), tolerance(DType::f32, 56));
}

// Keys before the queries and those at their positions, as a ring of ranks has them: parts with
// dropout, lengths that end in either, and the two merged; then the gradients of the later keys.
TEST_F(CudaAttention, RunsOfALongerSequenceAndTheirMerge) {
  const index_t S = 37, width = 32;
  AttentionSpec earlier = spec_of(4, S, 2, 16, Mask::full), own = earlier;
  own.mask = Mask::causal;
  for (AttentionSpec* spec : {&earlier, &own}) {
    spec->first_query = 2 * S;
    spec->lengths = Tensor::from<std::int32_t>({3 * S, 2 * S + 5, 20, 0}, {4});
    spec->dropout = 0.3;
    spec->dropout_key = philox_key(7, 8, 9);
    spec->sample_ids = Tensor::from<std::int64_t>({5, (1ll << 33) + 1, 2, 9}, {4});
  }
  earlier.first_key = 3;
  own.first_key = 2 * S - 11;  // keys before the first query, too
  const Tensor x = numbers({4 * S, 3 * width}, 1), other = numbers({4 * S, 3 * width}, 2),
               dy = numbers({4 * S, width}, 3);
  const auto merged = [&](const Tensor& x, const Tensor& other, const Tensor& dy,
                          const AttentionSpec& earlier, const AttentionSpec& own) {
    const auto part = [&](const Tensor& fused, index_t i) {
      return fused.column_range(i * width, width);
    };
    Results r{Tensor::empty(dy.shape(), dy.dtype(), dy.device()),
              Tensor::empty({4, 2, S}, dy.dtype(), dy.device()),
              Tensor::empty(x.shape(), x.dtype(), x.device())};
    Tensor y_part = Tensor::empty(dy.shape(), dy.dtype(), dy.device());
    Tensor lse_part = Tensor::empty(r.lse.shape(), dy.dtype(), dy.device());
    attention_forward(r.y, r.lse, part(x, 0), part(other, 1), part(other, 2), earlier);
    attention_forward(y_part, lse_part, part(x, 0), part(x, 1), part(x, 2), own);
    attention_merge(r.y, r.lse, y_part, lse_part, own);
    Tensor dq = part(r.dqkv, 0), dk = part(r.dqkv, 1), dv = part(r.dqkv, 2);
    attention_backward(dq, dk, dv, dy, part(x, 0), part(x, 1), part(x, 2), r.y, r.lse, own);
    return r;
  };

  const Results cpu = merged(x, other, dy, earlier, own);
  const Results cuda =
      merged(test::on_gpu(x), test::on_gpu(other), test::on_gpu(dy), on_gpu(earlier), on_gpu(own));

  const double bound = tolerance(DType::f32, 2 * S + 16);
  EXPECT_LE(test::relative_error(on_cpu(cuda.y), cpu.y), bound);
  EXPECT_LE(test::relative_error(on_cpu(cuda.lse), cpu.lse), bound);
  EXPECT_LE(test::relative_error(on_cpu(cuda.dqkv), cpu.dqkv), bound);
}

TEST_F(CudaAttention, DropsTheProbabilitiesTheCpuDrops) {
  AttentionSpec spec = spec_of(2, 37, 2, 16, Mask::causal);
  spec.dropout = 0.4;
  spec.dropout_key = philox_key(1, 2, 3);
  spec.sample_ids = Tensor::from<std::int64_t>({(std::int64_t{1} << 40) + 1, 6}, {2});
  spec.first_head = 4;

  expect_follows(spec);
}

class CudnnAttention : public CudaAttention {
 protected:
  void SetUp() override {
    CudaAttention::SetUp();
    if (IsSkipped()) return;
    const std::string reason =
        why_plain_attention(gpu, by_cudnn(spec_of(1, 64, 1, 64, Mask::causal)));
    if (!reason.empty()) GTEST_SKIP() << reason;
  }

  static AttentionSpec by_cudnn(AttentionSpec spec) {
    spec.kernels = AttentionKernels::cudnn;
    return spec;
  }
  // In either order of sums.
  static void expect_follows_by_cudnn(AttentionSpec spec) {
    for (const auto kernels : {AttentionKernels::cudnn, AttentionKernels::deterministic}) {
      spec.kernels = kernels;
      EXPECT_EQ(why_plain_attention(gpu, on_gpu(spec)), "");
      expect_follows(spec);
    }
  }
  static AttentionSpec with_dropout(AttentionSpec spec) {
    spec.dropout = 0.4;
    spec.dropout_key = philox_key(1, 2, 3);
    std::vector<std::int64_t> ids;
    for (index_t b = 0; b < spec.B; ++b) ids.push_back((std::int64_t{1} << 40) + 3 * b);
    spec.sample_ids = Tensor::from(ids, {spec.B});
    spec.first_head = 4;
    return spec;
  }
};

TEST_F(CudnnAttention, FollowsWithEitherMask) {
  for (const Mask mask : {Mask::full, Mask::causal}) {
    expect_follows_by_cudnn(spec_of(2, 37, 3, 16, mask));
    expect_follows_by_cudnn(spec_of(1, 70, 1, 40, mask));
    expect_follows_by_cudnn(spec_of(1, 2, 2, 8, mask));
    expect_follows_by_cudnn(spec_of(1, 33, 1, 128, mask));
  }
}

TEST_F(CudnnAttention, RowsPastTheLengthAreZero) {
  for (const Mask mask : {Mask::full, Mask::causal}) {
    AttentionSpec spec = spec_of(4, 35, 2, 16, mask);
    spec.lengths = Tensor::from<std::int32_t>({35, 0, 1, 33}, {4});

    expect_follows_by_cudnn(spec);
    expect_follows_by_cudnn(with_dropout(spec));
  }
}

TEST_F(CudnnAttention, DropsTheProbabilitiesTheCpuDrops) {
  expect_follows_by_cudnn(with_dropout(spec_of(2, 37, 2, 16, Mask::full)));
  expect_follows_by_cudnn(with_dropout(spec_of(2, 40, 2, 16, Mask::causal)));
}

TEST_F(CudnnAttention, GroupsOfSamplesAreAsGoodAsAll) {
  cuda::AttentionPlans& plans = cuda::Runtime::of(gpu).attentions();
  const index_t usual = plans.wished_score_bytes();
  AttentionSpec spec = with_dropout(spec_of(6, 18, 2, 16, Mask::full));
  spec.lengths = Tensor::from<std::int32_t>({18, 5, 0, 17, 1, 9}, {6});

  plans.set_wished_score_bytes(2 * spec.heads * 18 * 24 * 2);  // of two samples
  expect_follows_by_cudnn(spec);
  plans.set_wished_score_bytes(usual);
}

TEST_F(CudnnAttention, RepeatsItsBitsWhenDeterministic) {
  AttentionSpec spec = spec_of(2, 130, 2, 64, Mask::causal);
  spec.kernels = AttentionKernels::deterministic;
  const Tensor qkv = test::on_gpu(numbers({260, 384}, 1)),
               dy = test::on_gpu(numbers({260, 128}, 2));

  const Tensor once = on_cpu(run(qkv, dy, spec).dqkv), again = on_cpu(run(qkv, dy, spec).dqkv);

  EXPECT_EQ(std::memcmp(once.raw(), again.raw(), once.bytes()), 0);
}

TEST_F(CudnnAttention, LeavesOtherHeadsToThePlainKernels) {
  const AttentionSpec spec = by_cudnn(spec_of(1, 70, 1, 43, Mask::causal));

  EXPECT_NE(why_plain_attention(gpu, spec), "");
  expect_follows(spec);
}

}  // namespace
}  // namespace lockstep
