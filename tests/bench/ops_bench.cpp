// Every op of a training step on the shapes of gpt2-124m, B 4 x T 256, with its share of what this
// machine can do: of the arithmetic peak ("peak") where products of matrices dominate, of the rate
// of a copy ("bandwidth") elsewhere. Both are measured in this process, before the first op.
//   OMP_NUM_THREADS=2 ops_bench [--benchmark_filter=gemm]
// B samples, T positions, N = B T rows, C width, F ffn width, V vocabulary with padding, NH heads.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>

#include <benchmark/benchmark.h>
#include <omp.h>

#include "core/ops/activation.hpp"
#include "core/ops/adamw.hpp"
#include "core/ops/attention.hpp"
#include "core/ops/cpu_features.hpp"
#include "core/ops/cross_entropy.hpp"
#include "core/ops/dropout.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/embedding.hpp"
#include "core/ops/gemm.hpp"
#include "core/ops/layer_norm.hpp"
#include "core/ops/peak.hpp"
#include "core/ops/residual.hpp"

namespace lockstep {
namespace {

constexpr index_t B = 4, T = 256, N = B * T, C = 768, F = 3072, V = 50304, NH = 12;

struct Machine {
  double flops = 0;  // per second
  double bytes = 0;  // per second, read and written
};

// The best of five copies of 128 MiB by all threads.
double copy_rate() {
  constexpr index_t count = index_t{1} << 25;
  const Tensor from = Tensor::zeros({count}, DType::f32);
  Tensor to = Tensor::zeros({count}, DType::f32);
  double best = 0;
  for (int run = 0; run < 5; ++run) {
    const auto begin = std::chrono::steady_clock::now();
#pragma omp parallel
    {
      const index_t threads = omp_get_num_threads(), me = omp_get_thread_num();
      const index_t first = count * me / threads, end = count * (me + 1) / threads;
      std::memcpy(to.data<float>() + first, from.data<float>() + first,
                  static_cast<std::size_t>(end - first) * sizeof(float));
    }
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    best = std::max(best, 2.0 * static_cast<double>(from.bytes()) / spent.count());
  }
  return best;
}

Tensor random(Shape shape) {
  Tensor x = Tensor::empty(shape, DType::f32);
  Tensor flat = x.reshape({1, x.count()});
  fill_normal(flat, 7, 0.02, 0, 0, x.count());
  return x;
}

Tensor random_ids(index_t n, index_t below) {
  Tensor ids = Tensor::empty({n}, DType::i32);
  for (index_t i = 0; i < n; ++i)
    ids.data<std::int32_t>()[i] = static_cast<std::int32_t>(i * 7919 % below);
  return ids;
}

class Suite {
 public:
  explicit Suite(Machine machine) : machine_(machine) {}

  // work: multiply-adds counted twice.
  void add_arithmetic(const std::string& name, double work, std::function<void()> op) const {
    add(name, work, machine_.flops, "peak", std::move(op));
  }
  // bytes: each tensor once for reading and once for writing.
  void add_streaming(const std::string& name, index_t bytes, std::function<void()> op) const {
    add(name, static_cast<double>(bytes), machine_.bytes, "bandwidth", std::move(op));
  }

 private:
  static void add(const std::string& name,
                  double work,
                  double rate,
                  const char* of,
                  std::function<void()> op) {
    benchmark::RegisterBenchmark(name.c_str(),
                                 [=](benchmark::State& state) {
                                   for (auto _ : state) op();
                                   state.counters[of] = benchmark::Counter(
                                       work / rate, benchmark::Counter::kIsIterationInvariantRate);
                                 })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }

  Machine machine_;
};

// The three products of a linear layer x (N, in) W (out, in)^T.
void add_products(const Suite& suite, const std::string& layer, index_t in, index_t out) {
  const double work =
      2.0 * static_cast<double>(N) * static_cast<double>(in) * static_cast<double>(out);
  const Tensor x = random({N, in}), weight = random({out, in}), dy = random({N, out});
  Tensor y = random({N, out}), dx = random({N, in}), dweight = random({out, in});
  suite.add_arithmetic("gemm/" + layer + "/forward", work,
                       [=]() mutable { gemm(y, x, Transpose::no, weight, Transpose::yes); });
  suite.add_arithmetic("gemm/" + layer + "/input", work,
                       [=]() mutable { gemm(dx, dy, Transpose::no, weight, Transpose::no); });
  suite.add_arithmetic("gemm/" + layer + "/weight", work, [=]() mutable {
    gemm(dweight, dy, Transpose::yes, x, Transpose::no, Accumulate::yes);
  });
}

void add_attention(const Suite& suite) {
  AttentionSpec spec;
  spec.B = B;
  spec.T_q = spec.T_k = T;
  spec.heads = spec.kv_heads = NH;
  spec.head_size = C / NH;
  spec.scale = 0.125;
  spec.mask = Mask::causal;
  const Tensor q = random({N, C}), k = random({N, C}), v = random({N, C}), dy = random({N, C});
  Tensor y = random({N, C}), lse = random({B, NH, T});
  Tensor dq = random({N, C}), dk = random({N, C}), dv = random({N, C});
  // The visible half: q k^T and p v forward; those of the scores again, dv, dp, dq, dk backward.
  const double product = static_cast<double>(N * C) * static_cast<double>(T + 1);
  suite.add_arithmetic("attention/forward", 2 * product,
                       [=]() mutable { attention_forward(y, lse, q, k, v, spec); });
  suite.add_arithmetic("attention/backward", 5 * product, [=]() mutable {
    attention_backward(dq, dk, dv, dy, q, k, v, y, lse, spec);
  });
}

void add_rows_ops(const Suite& suite) {
  const index_t row_bytes = N * C * 4;
  const Tensor x = random({N, C}), dy = random({N, C}), weight = random({C}), bias = random({C});
  Tensor y = random({N, C}), mean = random({N}), rstd = random({N}), sums = random({C});
  suite.add_streaming("layer_norm/forward", 2 * row_bytes,
                      [=]() mutable { layer_norm_forward(y, mean, rstd, x, weight, bias, 1e-5); });
  suite.add_streaming("layer_norm/input", 3 * row_bytes,
                      [=]() mutable { layer_norm_backward_input(y, dy, x, weight, mean, rstd); });
  suite.add_streaming("layer_norm/weight", 2 * row_bytes,
                      [=]() mutable { layer_norm_backward_weight(sums, sums, dy, x, mean, rstd); });
  suite.add_streaming("add", 3 * row_bytes, [=]() mutable { add(y, x, dy); });
  suite.add_streaming("column_sums", row_bytes, [=]() mutable { add_column_sums(sums, dy); });
  DropoutSpec dropout;
  dropout.probability = 0.1;
  dropout.T = T;
  dropout.sample_ids = Tensor::from<std::int64_t>({0, 1, 2, 3}, {B});
  suite.add_streaming("residual/forward", 3 * row_bytes,
                      [=]() mutable { residual_forward(y, x, bias, dy, dropout); });
  Tensor sum = random({N, C}), dx = random({N, C});
  suite.add_streaming("residual_norm/forward", 4 * row_bytes, [=]() mutable {
    residual_norm_forward(sum, y, mean, rstd, x, bias, dy, weight, bias, 1e-5, dropout);
  });
  suite.add_streaming("residual_norm/backward", 5 * row_bytes, [=]() mutable {
    residual_norm_backward(y, dx, dy, x, sum, weight, mean, rstd, dropout);
  });
  const Tensor wide_bias = random({F}), wide = random({N, F}), dwide = random({N, F});
  Tensor activated = random({N, F});
  suite.add_streaming("gelu_tanh/forward", 2 * N * F * 4, [=]() mutable {
    activation_forward(activated, wide, wide_bias, Activation::gelu_tanh);
  });
  suite.add_streaming("gelu_tanh/backward", 3 * N * F * 4, [=]() mutable {
    activation_backward(activated, dwide, wide, wide_bias, Activation::gelu_tanh);
  });
}

void add_vocabulary_ops(const Suite& suite) {
  const VocabularySlice slice{0, 50257};
  const Tensor ids = random_ids(N, slice.V), dy = random({N, C});
  Tensor logits = random({N, V}), table = random({V, C}), y = random({N, C});
  Tensor largest = Tensor::zeros({N}, DType::f64), statistics = Tensor::zeros({2, N}, DType::f64);
  fill(statistics, 5e4);
  Tensor none;
  suite.add_streaming("embedding/forward", 2 * N * C * 4,
                      [=]() mutable { embedding_forward(y, ids, table, 0, Accumulate::no); });
  suite.add_streaming("embedding/backward", 3 * N * C * 4,
                      [=]() mutable { embedding_backward(table, dy, ids, 0); });
  suite.add_streaming("cross_entropy/forward", 2 * N * V * 4, [=]() mutable {
    cross_entropy_max(largest, none, logits, slice);
    cross_entropy_statistics(statistics, logits, ids, largest, slice);
  });
  suite.add_streaming("cross_entropy/backward", 2 * N * V * 4, [=]() mutable {
    cross_entropy_backward(logits, ids, largest, statistics, 1.0, slice);
  });
}

void add_flat_ops(const Suite& suite) {
  constexpr index_t count = index_t{1} << 25;
  const Tensor gradient = random({count});
  Tensor value = random({count}), m = Tensor::zeros({count}, DType::f32),
         v = Tensor::zeros({count}, DType::f32);
  suite.add_streaming("adamw", 7 * count * 4, [=]() mutable {
    adamw(value, m, v, gradient, {.rate = 1e-4, .decay = 0.1});
  });
  suite.add_streaming("sum_of_squares", count * 4,
                      [=] { benchmark::DoNotOptimize(sum_of_squares(gradient)); });
}

int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const int threads = omp_get_max_threads();
  const Machine machine{peak_gflops(Device{}, DType::f32, threads) * 1e9, copy_rate()};
  std::printf("%d threads, %s: %.1f GFLOP/s fp32, copies at %.1f GB/s\n", threads,
              cpu_features_in_use().c_str(), machine.flops * 1e-9, machine.bytes * 1e-9);
  const Suite suite(machine);
  add_products(suite, "qkv", C, 3 * C);
  add_products(suite, "projection", C, C);
  add_products(suite, "ffn_input", C, F);
  add_products(suite, "ffn_output", F, C);
  add_products(suite, "head", C, V);
  add_attention(suite);
  add_rows_ops(suite);
  add_vocabulary_ops(suite);
  add_flat_ops(suite);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) { return lockstep::run(argc, argv); }
