// The hot inner loops, compiled once per instruction set (kernels_scalar, _avx2, _avx512.cpp) and
// chosen once at run time by CPUID and LOCKSTEP_CPU. Kernels see raw pointers and one thread; ops
// around them cut rows over threads. Sums run in a fixed number of lanes and then a fixed tree,
// products of matrices are chains of fused multiply-adds, nothing else is fused: every kernel
// returns the same bits on every instruction set.
#pragma once

#include <cstdint>

#include "core/dtype.hpp"

namespace lockstep::cpu {

enum class InstructionSet { scalar, avx2, avx512 };

// Constants of one AdamW step, worked out in double and rounded once.
template <typename T>
struct AdamWConstants {
  T keep, rate, beta1, one_minus_beta1, beta2, one_minus_beta2, inverse_correction1,
      inverse_correction2, epsilon, scale;
};

// Coordinates 1 to 3 of a Philox counter, its key, and the 32-bit word from which on an element is
// dropped.
struct DropoutRow {
  std::uint32_t c1, c2, c3, key0, key1, threshold;
};

// One tile of attention: `rows` queries by `n` keys, stored with tile_size columns. Row i sees
// min(n, diagonal + i) keys.
struct AttentionTile {
  static constexpr index_t size = 64;

  index_t rows, n, diagonal;
  const std::uint32_t* words;  // (rows, size) of philox, or null: no dropout
  std::uint32_t threshold;
};

// One register tile of a product of packed panels: panel_rows by panel_columns.
//   t = start (or +0);  t = fma(a[k], b[k], t) for k in order;  t = joined[i] + t in order;  to = t
template <typename T>
struct PanelTile {
  const T* a;  // (K, panel_rows)
  const T* b;  // (K, panel_columns)
  index_t K;
  const T* start;  // or null
  index_t start_stride;
  const T* joined[3];  // sums of earlier chains
  index_t num_joined, joined_stride;
  T* to;  // may be start
  index_t to_stride;
};

template <typename T>
struct Kernels {
  // c (M, N) = or += a b, each element one chain over k in order. a (i, k) is a[i * a_row + k *
  // a_k], b and c have rows.
  void (*multiply)(T* c,
                   index_t c_row,
                   const T* a,
                   index_t a_row,
                   index_t a_k,
                   const T* b,
                   index_t b_row,
                   index_t M,
                   index_t N,
                   index_t K,
                   bool accumulate);

  void (*multiply_panels)(const PanelTile<T>& tile);
  // to (K, width) = the n <= width vectors of K elements at from + j from_j + k from_k, the columns
  // past n zero. May write up to a vector past the end of `to`.
  void (*pack_panel)(T* to,
                     index_t width,
                     const T* from,
                     index_t from_j,
                     index_t from_k,
                     index_t n,
                     index_t K);
  index_t panel_rows, panel_columns;

  // rounds x 12 multiply-adds of `lanes` elements in registers: what peak_gflops() times.
  T (*multiply_add_rounds)(index_t rounds);
  index_t lanes;

  void (*round_to_bf16)(Bf16* to, const float* from, index_t n);
  void (*widen_bf16)(float* to, const Bf16* from, index_t n);

  void (*add)(T* y, const T* a, const T* b, index_t n);
  void (*scale)(T* x, T factor, index_t n);
  // By Activation; of x + bias, bias may be null.
  void (*activation[3])(T* y, const T* x, const T* bias, index_t n);
  void (*activation_backward[3])(T* dx, const T* dy, const T* x, const T* bias, index_t n);
  void (*tanh)(T* y, const T* x, index_t n);
  void (*tanh_backward)(T* dx, const T* dy, const T* y, index_t n);
  // sums += each row of n in order
  void (*add_to_sums)(double* sums, const T* x, index_t stride, index_t rows, index_t n);
  void (*add_bf16_to_sums)(double* sums, const Bf16* x, index_t stride, index_t rows, index_t n);
  double (*sum_of_squares)(const T* x, index_t n);
  T (*largest_magnitude)(const T* x, index_t n);  // 0 for n = 0
  // bins[b] += each square's part that is a multiple of unit b and no more than half a unit b from
  // what is left of it; rounders[b] = 1.5 * 2^52 units.
  void (*squares_in_bins)(double* bins, const T* x, index_t n, const double* rounders);
  bool (*all_finite)(const T* x, index_t n);

  // One row of C columns; bias may be null.
  void (*layer_norm)(T* y,
                     T* mean,
                     T* rstd,
                     const T* x,
                     const T* weight,
                     const T* bias,
                     index_t C,
                     T eps);
  // Plus other, which may be null.
  void (*layer_norm_backward)(T* dx,
                              const T* other,
                              const T* dy,
                              const T* x,
                              const T* weight,
                              T mean,
                              T rstd,
                              index_t C);
  // sums += dy (x - mean) rstd
  void (*add_normed)(T* sums, const T* dy, const T* x, T mean, T rstd, index_t n);
  // The same of the rows in order.   mean, rstd (rows)
  void (*add_to_weight_sums)(double* sums,
                             const T* dy,
                             index_t dy_stride,
                             const T* x,
                             index_t x_stride,
                             const T* mean,
                             const T* rstd,
                             index_t rows,
                             index_t n);

  // y = mask(x) factor
  void (*dropout)(T* y, const T* x, index_t C, T factor, const DropoutRow& row);
  // y = residual + mask(x + bias) factor; bias may be null, and row: all are kept, as they are.
  void (*add_branch)(T* y,
                     const T* x,
                     const T* bias,
                     const T* residual,
                     index_t C,
                     T factor,
                     const DropoutRow* row);
  void (*philox_words)(std::uint32_t* words,
                       index_t first_group,
                       index_t num_groups,
                       const DropoutRow& row);

  // p (rows, size): scores become exp(scale s - row_max), with row_max and row_sum carried from
  // tile to tile; y's rows (HS columns) are rescaled where the maximum grew. Dropped probabilities
  // count in row_sum.
  void (*softmax_tile)(T* p,
                       T* row_max,
                       T* row_sum,
                       T* y,
                       index_t HS,
                       T scale,
                       const AttentionTile& tile);
  // p: scores to dropped probabilities; dp: their gradients to those of the scores. keep_factor = 1
  // / (1 - dropout).
  void (*softmax_tile_backward)(T* p,
                                T* dp,
                                const T* lse,
                                const T* row_dots,
                                T scale,
                                T keep_factor,
                                const AttentionTile& tile);
  T (*dot)(const T* a, const T* b, index_t n);

  T (*largest)(const T* x, index_t n);  // -inf for n = 0
  double (*sum_exp)(const T* x, double shift, index_t n);
  void (*softmax_gradient)(T* x,
                           double shift,
                           double factor,
                           index_t n);  // x = factor exp(x - shift)

  void (*adamw)(T* value, T* m, T* v, const T* gradient, index_t n, const AdamWConstants<T>& c);
};

// One table per instruction set, defined in kernels_<set>.cpp.
namespace scalar {
const Kernels<float>& kernels_f32();
const Kernels<double>& kernels_f64();
}  // namespace scalar
namespace avx2 {
const Kernels<float>& kernels_f32();
const Kernels<double>& kernels_f64();
}  // namespace avx2
namespace avx512 {
const Kernels<float>& kernels_f32();
const Kernels<double>& kernels_f64();
}  // namespace avx512

InstructionSet widest_instruction_set();  // that this CPU and its system have
bool has_avx512_bf16();                   // of the CPU, whatever is asked
bool has_bf16_products();                 // AVX512_BF16 or AMX_BF16: likewise
// The one in use: the widest, or what LOCKSTEP_CPU names. Limits oneDNN to the same. Throws Error
// for a name that is unknown or more than the CPU has.
InstructionSet instruction_set();

template <typename T>
const Kernels<T>& kernels(InstructionSet set);
template <typename T>
const Kernels<T>& kernels();

}  // namespace lockstep::cpu
