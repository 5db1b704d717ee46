#include "core/ops/cpu/gemm.hpp"

#include <algorithm>
#include <atomic>

#include <dnnl.h>
#include <omp.h>

#include "core/error.hpp"
#include "core/ops/cpu/loops.hpp"
#include "core/ops/cpu/onednn.hpp"

namespace lockstep::cpu {
namespace {

// How op(x) is read: element (i, j) is at i * row + j * column.
struct Strides {
  index_t row, column;
};

Strides strides_of(const Tensor& x, Transpose transpose) {
  return transpose == Transpose::yes ? Strides{1, x.row_stride()} : Strides{x.row_stride(), 1};
}

// c becomes what the product is added to.
void fill_rows(Tensor& c, const Tensor& bias) {
  with_type(c.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_pieces(c.rows(), c.columns(), [&](index_t i) {
      std::copy_n(bias.data<T>(), c.columns(), c.data<T>() + i * c.row_stride());
    });
  });
}

void gemm_f32(Tensor& c,
              const Tensor& a,
              Transpose transpose_a,
              const Tensor& b,
              Transpose transpose_b,
              index_t K,
              bool adds) {
  constexpr index_t tile = 48;  // a multiple of the rows and columns of oneDNN's register tiles
  prepare_onednn();
  const auto letter = [](Transpose transpose) { return transpose == Transpose::yes ? 'T' : 'N'; };
  const Strides a_at = strides_of(a, transpose_a), b_at = strides_of(b, transpose_b);
  const ProductGrid grid(c.rows(), c.columns(), K, tile);
  const int team = grid.team();
  std::atomic<int> refused = dnnl_success;
#pragma omp parallel for schedule(static) num_threads(team) if (team > 1)
  for (int t = 0; t < team; ++t) {
    const auto [rows, columns] = grid.piece(t);
    if (rows.count == 0 || columns.count == 0) continue;
    omp_set_num_threads(1);  // of this call only: the setting ends with the region
    const dnnl_status_t status = dnnl_sgemm(
        letter(transpose_a), letter(transpose_b), rows.count, columns.count, K, 1.0f,
        a.data<float>() + rows.first * a_at.row, a.row_stride(),
        b.data<float>() + columns.first * b_at.column, b.row_stride(), adds ? 1.0f : 0.0f,
        c.data<float>() + rows.first * c.row_stride() + columns.first, c.row_stride());
    if (status != dnnl_success) refused = status;
  }
  require(refused == dnnl_success, "oneDNN refused a product of ", c.rows(), " x ", K, " x ",
          c.columns(), " (status ", refused.load(), ")");
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
  const bool adds = accumulate == Accumulate::yes || bias.defined();
  if (bias.defined()) fill_rows(c, bias);
  if (K == 0) {
    if (!adds) c.fill_zero();
  } else if (a.dtype() == DType::bf16) {
    gemm_bf16(c, a, transpose_a, b, transpose_b, K, adds);
  } else if (c.dtype() == DType::f32) {
    gemm_f32(c, a, transpose_a, b, transpose_b, K, adds);
  } else {
    // oneDNN has no products of doubles.
    cpu::gemm_fixed(c, a, transpose_a, b, transpose_b, SumOrder::chain(K),
                    adds ? Accumulate::yes : Accumulate::no);
  }
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
