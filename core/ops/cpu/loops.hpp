// How CPU ops pick their element type and cut independent pieces over threads. No piece ever shares
// a sum with another, so the number of threads changes no bit.
#pragma once

#include <cassert>

#include <omp.h>

#include "core/tensor.hpp"

namespace lockstep::cpu {

// Calls f(T{}) with T = float or double.
template <typename F>
void with_type(DType dtype, F&& f) {
  assert(dtype == DType::f32 || dtype == DType::f64);
  if (dtype == DType::f32) {
    f(float{});
  } else {
    f(double{});
  }
}

// f(i) for i in [0, n), on threads when n pieces of `work` elements are worth the few microseconds
// a team costs.
template <typename F>
void for_pieces(index_t n, index_t work, F&& f) {
  constexpr index_t worth_a_team = 1 << 15;
#pragma omp parallel for schedule(static) if (n > 1 && n * work >= worth_a_team)
  for (index_t i = 0; i < n; ++i) f(i);
}

// f(first, count) over [0, n) in blocks of at most `block`.
template <typename F>
void for_blocks(index_t n, index_t block, index_t work, F&& f) {
  for_pieces((n + block - 1) / block, block * work, [&](index_t i) {
    const index_t first = i * block;
    f(first, n - first < block ? n - first : block);
  });
}

// Running sums of columns: f(first, count) over [0, C), count <= most_columns, one block per thread
// when that is not too wide, because long pieces of rows stream from memory better.
constexpr index_t most_columns = 512;
template <typename F>
void for_column_blocks(index_t C, index_t rows, F&& f) {
  constexpr index_t unit = 64;
  const index_t threads = omp_get_max_threads();
  const index_t share = ((C + threads - 1) / threads + unit - 1) / unit * unit;
  for_blocks(C, share < most_columns ? share : most_columns, rows, f);
}

// Elementwise over rows that may be strided: f(row, first column, count), in blocks of columns when
// rows are few.
template <typename F>
void for_row_blocks(const Tensor& x, F&& f) {
  constexpr index_t block = 1 << 13;
  const index_t C = x.columns(), blocks = (C + block - 1) / block;
  for_pieces(x.rows() * blocks, C < block ? C : block, [&](index_t i) {
    const index_t first = i % blocks * block;
    f(i / blocks, first, C - first < block ? C - first : block);
  });
}

}  // namespace lockstep::cpu
