// Ops of a step of gpt2-124m (B 64, T 1024) on one GPU, each with its share of what that GPU can
// do: of a product of 8192 x 8192 matrices where products dominate, of a copy of 1 GiB elsewhere,
// both measured first. Products read bf16, all else is fp32. Prints a table in Markdown.
//   gpu_ops_bench [--device cuda|cpu] [--tiny]    --tiny: small shapes in fp32, to try it out
// N = B T rows, C width, F ffn width, V vocabulary with padding, NH heads, n rows of a head's
// chunk.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>

#include "core/nn/losses.hpp"
#include "core/ops/activation.hpp"
#include "core/ops/adamw.hpp"
#include "core/ops/attention.hpp"
#include "core/ops/bf16.hpp"
#include "core/ops/cross_entropy.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/embedding.hpp"
#include "core/ops/gemm.hpp"
#include "core/ops/layer_norm.hpp"
#include "core/ops/residual.hpp"

namespace lockstep {
namespace {

struct Sizes {
  index_t B = 64, T = 1024, C = 768, F = 3072, V = 50304, NH = 12, parameters = 124475904;
  index_t n = VocabularyLoss::default_chunk_rows, square = 8192, copied = index_t{1} << 28;

  index_t N() const { return B * T; }
};
constexpr Sizes tiny{.B = 2,
                     .T = 16,
                     .C = 32,
                     .F = 64,
                     .V = 128,
                     .NH = 2,
                     .parameters = 4096,
                     .n = 16,
                     .square = 32,
                     .copied = 4096};

class OpsBench {
 public:
  OpsBench(Device device, bool is_tiny)
      : device_(device),
        is_tiny_(is_tiny),
        z_(is_tiny ? tiny : Sizes{}),
        operand_(is_tiny ? DType::f32 : DType::bf16) {}

  void run() {
    measure_ceilings();
    add_products();
    add_attention();
    add_row_ops();
    add_vocabulary_ops();
    add_flat_ops();
  }

 private:
  // Seconds of one call, the median of five bursts; a burst takes 20 ms or more.
  double seconds_of(const std::function<void()>& op) const {
    const auto burst = [&](int calls) {
      synchronize(device_);
      const auto begin = std::chrono::steady_clock::now();
      for (int i = 0; i < calls; ++i) op();
      synchronize(device_);
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    burst(1);
    const double once = burst(1);
    const int calls = is_tiny_ ? 1 : static_cast<int>(std::clamp(0.02 / once, 1.0, 1000.0));
    std::vector<double> seconds;
    for (int i = 0; i < 5; ++i) seconds.push_back(burst(calls) / calls);
    std::nth_element(seconds.begin(), seconds.begin() + 2, seconds.end());
    return seconds[2];
  }

  Tensor random(Shape shape, DType dtype = DType::f32) const {
    Tensor x = Tensor::empty(shape, DType::f32, device_);
    Tensor flat = x.reshape({1, x.count()});
    fill_normal(flat, 7, 0.02, 0, 0, x.count());
    if (dtype == DType::f32) return x;
    Tensor rounded = Tensor::empty(shape, dtype, device_);
    round_to_bf16(rounded, x);
    return rounded;
  }
  Tensor ids(index_t n, index_t below) const {
    Tensor ids = Tensor::empty({n}, DType::i32);
    for (index_t i = 0; i < n; ++i)
      ids.data<std::int32_t>()[i] = static_cast<std::int32_t>(i * 7919 % below);
    return ids.to(device_);
  }

  // work: multiply-adds counted twice, of one call.
  void product(const std::string& name, double work, const std::function<void()>& op) const {
    row(name, work, flops_, "TFLOP/s", 1e12, seconds_of(op));
  }
  // bytes: each tensor once for reading and once for writing.
  void streaming(const std::string& name, index_t bytes, const std::function<void()>& op) const {
    row(name, static_cast<double>(bytes), bytes_, "GB/s", 1e9, seconds_of(op));
  }
  static void row(const std::string& name,
                  double work,
                  double ceiling,
                  const char* unit,
                  double scale,
                  double seconds) {
    std::printf("| %s | %.4f ms | %.1f %s | %.1f %% |\n", name.c_str(), 1e3 * seconds,
                work / seconds / scale, unit, 100 * work / seconds / ceiling);
  }

  void measure_ceilings() {
    const index_t n = z_.square;
    {
      const Tensor a = random({n, n}, operand_), b = random({n, n}, operand_);
      Tensor c = random({n, n});
      flops_ = 2 * std::pow(static_cast<double>(n), 3) /
               seconds_of([&] { gemm(c, a, Transpose::no, b, Transpose::yes); });
    }
    const Tensor from = random({z_.copied});
    Tensor to = random({z_.copied});
    bytes_ = 2.0 * static_cast<double>(from.bytes()) / seconds_of([&] { to.copy_from(from); });
    std::printf("Ops, B %ld x T %ld: shares of a product of %ld x %ld (%.1f TFLOP/s) ",
                static_cast<long>(z_.B), static_cast<long>(z_.T), static_cast<long>(n),
                static_cast<long>(n), flops_ / 1e12);
    std::printf("and of a copy (%.1f GB/s)\n\n| op | time | rate | share |\n", bytes_ / 1e9);
    std::printf("| --- | --- | --- | --- |\n");
  }

  void add_products() const {
    layer("qkv", z_.N(), z_.C, 3 * z_.C);
    layer("projection", z_.N(), z_.C, z_.C);
    layer("ffn in", z_.N(), z_.C, z_.F);
    layer("ffn out", z_.N(), z_.F, z_.C);
    layer("head, a chunk", z_.n, z_.C, z_.V);
  }
  // The three products of x (rows, in) W (out, in)^T.
  void layer(const std::string& name, index_t rows, index_t in, index_t out) const {
    const double work =
        2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
    const Tensor x = random({rows, in}, operand_), weight = random({out, in}, operand_),
                 dy = random({rows, out}, operand_), bias = random({out});
    Tensor y = random({rows, out}), dx = random({rows, in}), dweight = random({out, in});
    product(name + " forward", work,
            [&] { gemm_bias(y, x, Transpose::no, weight, Transpose::yes, bias); });
    product(name + " input", work, [&] { gemm(dx, dy, Transpose::no, weight, Transpose::no); });
    product(name + " weight", work,
            [&] { gemm(dweight, dy, Transpose::yes, x, Transpose::no, Accumulate::yes); });
  }

  void add_attention() const {
    const index_t N = z_.N(), C = z_.C;
    AttentionSpec spec;
    spec.B = z_.B;
    spec.T_q = spec.T_k = z_.T;
    spec.heads = spec.kv_heads = z_.NH;
    spec.head_size = C / z_.NH;
    spec.scale = 1 / std::sqrt(static_cast<double>(spec.head_size));
    spec.mask = Mask::causal;
    const Tensor qkv = random({N, 3 * C}), dy = random({N, C});
    const Tensor q = qkv.column_range(0, C), k = qkv.column_range(C, C),
                 v = qkv.column_range(2 * C, C);
    Tensor y = random({N, C}), lse = random({z_.B, z_.NH, z_.T}), dqkv = random({N, 3 * C});
    Tensor dq = dqkv.column_range(0, C), dk = dqkv.column_range(C, C),
           dv = dqkv.column_range(2 * C, C);
    // The visible half of q k^T; p v too forward; scores again, dv, dp, dq and dk backward.
    const double one = static_cast<double>(N * C) * static_cast<double>(z_.T + 1);
    product("attention forward", 2 * one, [&] { attention_forward(y, lse, q, k, v, spec); });
    product("attention backward", 5 * one,
            [&] { attention_backward(dq, dk, dv, dy, q, k, v, y, lse, spec); });
  }

  void add_row_ops() const {
    const index_t N = z_.N(), C = z_.C, F = z_.F, row_bytes = N * C * 4;
    const Tensor x = random({N, C}), dy = random({N, C}), weight = random({C}), bias = random({C});
    Tensor y = random({N, C}), mean = random({N}), rstd = random({N}), sums = random({C});
    streaming("layer norm forward", 2 * row_bytes,
              [&] { layer_norm_forward(y, mean, rstd, x, weight, bias, 1e-5); });
    DropoutSpec dropout;
    dropout.probability = 0.1;
    dropout.sample_ids = Tensor::zeros({z_.B}, DType::i64, device_);
    dropout.T = z_.T;
    Tensor sum = random({N, C}), dx = random({N, C});
    streaming("residual norm forward", 4 * row_bytes, [&] {
      residual_norm_forward(sum, y, mean, rstd, x, bias, dy, weight, bias, 1e-5, dropout);
    });
    streaming("residual norm backward", 5 * row_bytes,
              [&] { residual_norm_backward(sum, dx, dy, y, x, weight, mean, rstd, dropout); });
    streaming("layer norm input", 3 * row_bytes,
              [&] { layer_norm_backward_input(y, dy, x, weight, mean, rstd); });
    streaming("layer norm weight", 2 * row_bytes,
              [&] { layer_norm_backward_weight(sums, sums, dy, x, mean, rstd); });
    streaming("add", 3 * row_bytes, [&] { add(y, x, dy); });
    streaming("column sums", row_bytes, [&] { add_column_sums(sums, dy); });
    const Tensor wide = random({N, F}), dwide = random({N, F}), wide_bias = random({F});
    Tensor activated = random({N, F}), rounded = Tensor::empty({N, F}, DType::bf16, device_);
    streaming("gelu forward", 2 * N * F * 4,
              [&] { activation_forward(activated, wide, wide_bias, Activation::gelu_tanh); });
    streaming("gelu backward", 3 * N * F * 4, [&] {
      activation_backward(activated, dwide, wide, wide_bias, Activation::gelu_tanh);
    });
    streaming("round to bf16", N * F * 6, [&] { round_to_bf16(rounded, wide); });
  }

  void add_vocabulary_ops() const {
    const index_t N = z_.N(), C = z_.C, n = z_.n, V = z_.V;
    const VocabularySlice slice{0, V - 47};
    const Tensor tokens = ids(N, slice.V), targets = ids(n, slice.V), dy = random({N, C});
    Tensor table = random({V, C}), y = random({N, C}), logits = random({n, V});
    Tensor largest = Tensor::zeros({n}, DType::f64, device_),
           statistics = Tensor::zeros({2, n}, DType::f64, device_), none;
    streaming("embedding forward", 2 * N * C * 4,
              [&] { embedding_forward(y, tokens, table, 0, Accumulate::no); });
    streaming("embedding backward", 3 * N * C * 4,
              [&] { embedding_backward(table, dy, tokens, 0); });
    streaming("cross-entropy forward", 2 * n * V * 4, [&] {
      cross_entropy_max(largest, none, logits, slice);
      cross_entropy_statistics(statistics, logits, targets, largest, slice);
    });
    streaming("cross-entropy backward", 2 * n * V * 4,
              [&] { cross_entropy_backward(logits, targets, largest, statistics, 1.0, slice); });
  }

  void add_flat_ops() const {
    const index_t count = z_.parameters;
    const Tensor gradient = random({count});
    Tensor value = random({count}), m = random({count}), v = random({count});
    Tensor total = Tensor::zeros({1}, DType::f64, device_);
    fill(v, 1e-8);
    streaming("adamw", 7 * count * 4,
              [&] { adamw(value, m, v, gradient, {.rate = 1e-4, .decay = 0.1}); });
    streaming("sum of squares", count * 4, [&] { add_sum_of_squares(total, gradient); });
  }

  Device device_;
  bool is_tiny_;
  Sizes z_;
  DType operand_;  // what products read
  double flops_ = 0, bytes_ = 0;
};

int run(int argc, char** argv) {
  Device device{Device::Kind::cuda, 0};
  bool is_tiny = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--tiny") {
      is_tiny = true;
    } else if (word == "--device" && i + 1 < argc) {
      if (std::string(argv[++i]) == "cpu") device = {};
    } else {
      std::fprintf(stderr, "gpu_ops_bench [--device cuda|cpu] [--tiny]\n");
      return 2;
    }
  }
  std::string reason;
  if (device.kind == Device::Kind::cuda && num_gpus(&reason) == 0) {
    std::fprintf(stderr, "gpu_ops_bench: %s\n", reason.c_str());
    return 2;
  }
  OpsBench(device, is_tiny).run();
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) { return lockstep::run(argc, argv); }
