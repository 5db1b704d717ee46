#include "core/ops/cpu/gemm.hpp"

#include <algorithm>

#include <omp.h>

#include "core/ops/cpu/elementwise.hpp"
#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {
namespace {

// How op(x) is read: element (i, j) is at i * row + j * column.
struct Strides {
  index_t row, column;
};

Strides strides_of(const Tensor& x, Transpose transpose) {
  return transpose == Transpose::yes ? Strides{1, x.row_stride()} : Strides{x.row_stride(), 1};
}

// What one call multiplies: c (M, N) = op(a) op(b), plus c or a row of biases.
template <typename T>
struct Product {
  T* c;
  index_t c_row;
  const T* a;
  Strides a_at;
  const T* b;
  Strides b_at;
  index_t M, N, K;
  bool accumulate;
  const T* bias;  // (N), or null
};

index_t rounded_up(index_t n, index_t to) { return (n + to - 1) / to * to; }

// n in equal blocks of at most `most`, the block a multiple of `of`.
index_t block_of(index_t n, index_t most, index_t of) {
  const index_t blocks = (n + most - 1) / most;
  return rounded_up((n + blocks - 1) / blocks, of);
}

// A chain over k is cut by K alone, so neither the threads nor the size of the batch change a bit.
// A block of b (K_block, N_block) stays in the second-level cache, a panel of a in the first; a is
// packed once for all of b's columns, in depths that keep it in the third.
template <typename T>
class Blocks {
 public:
  Blocks(const cpu::Kernels<T>& kernels, index_t M, index_t N, index_t K)
      : rows_(kernels.packed_rows),
        K_(block_of(K, 256, 8)),
        M_(block_of(M, 1536, kernels.packed_rows)),
        N_(block_of(N, 384, kernels.packed_columns)),
        depth_(K_ * std::min<index_t>(12, (K + K_ - 1) / K_)) {}

  index_t K() const { return K_; }
  index_t M() const { return M_; }
  index_t N() const { return N_; }
  index_t depth() const { return depth_; }
  // Elements of packed memory; packing may write a vector past a panel.
  index_t a_count() const { return rounded_up(M_, rows_) * depth_ + slack; }
  index_t b_count() const { return N_ * K_ + slack; }

 private:
  static constexpr index_t slack = 16;
  index_t rows_, K_, M_, N_, depth_;
};

template <typename T>
class Multiplication {
 public:
  Multiplication(const Product<T>& product, const Blocks<T>& blocks, T* scratch)
      : p_(product), blocks_(blocks), a_(scratch), b_(scratch + blocks.a_count()) {}

  void run() const {
    for (index_t depth = 0; depth < p_.K; depth += blocks_.depth()) {
      const index_t K_end = std::min(p_.K, depth + blocks_.depth());
      for (index_t i = 0; i < p_.M; i += blocks_.M()) {
        const index_t M = std::min(blocks_.M(), p_.M - i);
        for_K(depth, K_end, [&](index_t k, index_t K) { pack_a(i, M, k, K, a_at(depth, k, M)); });
        for (index_t j = 0; j < p_.N; j += blocks_.N()) {
          const index_t N = std::min(blocks_.N(), p_.N - j);
          for_K(depth, K_end, [&](index_t k, index_t K) {
            pack_b(j, N, k, K);
            multiply(i, M, j, N, k, K, a_at(depth, k, M));
          });
        }
      }
    }
  }

 private:
  template <typename F>
  void for_K(index_t first, index_t end, F&& f) const {
    for (index_t k = first; k < end; k += blocks_.K()) f(k, std::min(blocks_.K(), end - k));
  }
  T* a_at(index_t depth, index_t k, index_t M) const {
    return a_ + (k - depth) * rounded_up(M, kernels_.packed_rows);
  }

  void pack_a(index_t i0, index_t M, index_t k, index_t K, T* to) const {
    for (index_t i = 0; i < M; i += kernels_.packed_rows) {
      kernels_.pack_operand(to + i * K, kernels_.packed_rows,
                            p_.a + (i0 + i) * p_.a_at.row + k * p_.a_at.column, p_.a_at.row,
                            p_.a_at.column, std::min(kernels_.packed_rows, M - i), K);
    }
  }
  void pack_b(index_t j0, index_t N, index_t k, index_t K) const {
    for (index_t j = 0; j < N; j += kernels_.packed_columns) {
      kernels_.pack_operand(b_ + j * K, kernels_.packed_columns,
                            p_.b + k * p_.b_at.row + (j0 + j) * p_.b_at.column, p_.b_at.column,
                            p_.b_at.row, std::min(kernels_.packed_columns, N - j), K);
    }
  }

  void multiply(index_t i0, index_t M, index_t j0, index_t N, index_t k, index_t K, const T* a)
      const {
    const bool adds = k > 0 || p_.accumulate;
    for (index_t i = 0; i < M; i += kernels_.packed_rows) {
      for (index_t j = 0; j < N; j += kernels_.packed_columns) {
        T* c = p_.c + (i0 + i) * p_.c_row + j0 + j;
        const T* bias = p_.bias == nullptr ? nullptr : p_.bias + j0 + j;
        kernels_.multiply_packed_tile(c, p_.c_row, adds ? c : bias, adds ? p_.c_row : 0, a + i * K,
                                      b_ + j * K, std::min(kernels_.packed_rows, M - i),
                                      std::min(kernels_.packed_columns, N - j), K);
      }
    }
  }

  const Product<T>& p_;
  const Blocks<T>& blocks_;
  const Kernels<T>& kernels_ = kernels<T>();
  T *a_, *b_;
};

// How a team cuts c: rows x columns rectangles, of the shapes with the least to pack.
struct Grid {
  index_t rows = 1, columns = 1;
};

Grid grid_of(index_t M, index_t N, index_t K, index_t threads) {
  constexpr double worth_a_thread = 1 << 20;  // multiply-adds: some 10 us
  const double work = static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K);
  const auto team =
      static_cast<index_t>(std::clamp(work / worth_a_thread, 1.0, static_cast<double>(threads)));
  Grid best{team, 1};
  for (index_t rows = 1; rows <= team; ++rows) {
    if (team % rows != 0) continue;
    const Grid grid{rows, team / rows};
    if (grid.columns * M + grid.rows * N < best.columns * M + best.rows * N) best = grid;
  }
  return best;
}

// Part `number` of n cut into `parts`, at multiples of `unit`.
struct Part {
  index_t first, count;
};

Part part_of(index_t n, index_t number, index_t parts, index_t unit) {
  const index_t units = (n + unit - 1) / unit;
  const index_t first = std::min(n, units * number / parts * unit);
  return {first, std::min(n, units * (number + 1) / parts * unit) - first};
}

index_t largest_part(index_t n, index_t parts, index_t unit) {
  return std::min(n, ((n + unit - 1) / unit + parts - 1) / parts * unit);
}

template <typename T>
void multiply(const Product<T>& p) {
  const auto& kernel = kernels<T>();
  const Grid grid = grid_of(p.M, p.N, p.K, omp_in_parallel() ? 1 : omp_get_max_threads());
  const index_t team = grid.rows * grid.columns;
  const Blocks<T> blocks(kernel, largest_part(p.M, grid.rows, kernel.packed_rows),
                         largest_part(p.N, grid.columns, kernel.packed_columns), p.K);
  Tensor scratch =
      Tensor::empty({team, rounded_up(blocks.a_count() + blocks.b_count(), 64)}, dtype_of<T>);
#pragma omp parallel for schedule(static) num_threads(static_cast <int>(team)) if (team > 1)
  for (index_t t = 0; t < team; ++t) {
    const Part rows = part_of(p.M, t / grid.columns, grid.rows, kernel.packed_rows);
    const Part columns = part_of(p.N, t % grid.columns, grid.columns, kernel.packed_columns);
    Product<T> mine = p;
    mine.c += rows.first * p.c_row + columns.first;
    mine.a += rows.first * p.a_at.row;
    mine.b += columns.first * p.b_at.column;
    if (p.bias != nullptr) mine.bias += columns.first;
    mine.M = rows.count;
    mine.N = columns.count;
    Multiplication<T>(mine, blocks, scratch.data<T>() + t * scratch.columns()).run();
  }
}

}  // namespace

void gemm(Tensor& c,
          const Tensor& a,
          Transpose transpose_a,
          const Tensor& b,
          Transpose transpose_b,
          Accumulate accumulate,
          const Tensor& bias) {
  const index_t K = a.shape()[transpose_a == Transpose::yes ? 0 : 1];
  if (K == 0) {
    if (accumulate == Accumulate::no) c.fill_zero();
    if (bias.defined()) cpu::add_bias(c, bias);
    return;
  }
  with_type(c.dtype(), [&](auto zero) {
    using T = decltype(zero);
    multiply<T>({c.data<T>(), c.row_stride(), a.data<T>(), strides_of(a, transpose_a), b.data<T>(),
                 strides_of(b, transpose_b), c.shape()[0], c.shape()[1], K,
                 accumulate == Accumulate::yes, bias.defined() ? bias.data<T>() : nullptr});
  });
}

void gemm_reference(Tensor& c,
                    const Tensor& a,
                    Transpose transpose_a,
                    const Tensor& b,
                    Transpose transpose_b,
                    Accumulate accumulate) {
  const index_t K = a.shape()[transpose_a == Transpose::yes ? 0 : 1];
  const Strides a_at = strides_of(a, transpose_a), b_at = strides_of(b, transpose_b);
  with_type(c.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (index_t i = 0; i < c.shape()[0]; ++i) {
      for (index_t j = 0; j < c.shape()[1]; ++j) {
        T& to = c.data<T>()[i * c.row_stride() + j];
        double sum = accumulate == Accumulate::yes ? static_cast<double>(to) : 0.0;
        for (index_t k = 0; k < K; ++k) {
          sum += static_cast<double>(a.data<T>()[i * a_at.row + k * a_at.column]) *
                 static_cast<double>(b.data<T>()[k * b_at.row + j * b_at.column]);
        }
        to = static_cast<T>(sum);
      }
    }
  });
}

}  // namespace lockstep::cpu
