#include "core/ops/cpu/gemm.hpp"

#include <algorithm>
#include <atomic>

#include <dnnl.h>
#include <omp.h>

#include "core/error.hpp"
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

// One thread's call. Leading dimensions are row strides.
void call_onednn(index_t M,
                 index_t N,
                 index_t K,
                 const float* a,
                 Transpose transpose_a,
                 index_t a_row,
                 const float* b,
                 Transpose transpose_b,
                 index_t b_row,
                 float* c,
                 index_t c_row,
                 Accumulate accumulate,
                 std::atomic<int>& refused) {
  const auto letter = [](Transpose transpose) { return transpose == Transpose::yes ? 'T' : 'N'; };
  omp_set_num_threads(
      1);  // of this piece only: the setting ends with the parallel region around it
  const dnnl_status_t status =
      dnnl_sgemm(letter(transpose_a), letter(transpose_b), M, N, K, 1.0f, a, a_row, b, b_row,
                 accumulate == Accumulate::yes ? 1.0f : 0.0f, c, c_row);
  if (status != dnnl_success) refused = static_cast<int>(status);
}

// oneDNN given a team cuts K by the number of threads when c is small, and then the bits follow
// that number. So c is cut here, by its shape alone: rows by 256, or the columns of a short c by
// 768. Each piece is one call on one thread.
void gemm_f32(Tensor& c,
              const Tensor& a,
              Transpose transpose_a,
              const Tensor& b,
              Transpose transpose_b,
              index_t K,
              Accumulate accumulate) {
  constexpr index_t M_block = 256;
  const index_t M = c.rows(), N = c.columns(), N_block = M <= M_block ? 768 : 4096;
  const Strides a_at = strides_of(a, transpose_a), b_at = strides_of(b, transpose_b);
  instruction_set();  // limits oneDNN before its first use
  std::atomic<int> refused = 0;
  const index_t across = (N + N_block - 1) / N_block, down = (M + M_block - 1) / M_block;
  for_pieces(across * down, std::min(M, M_block) * std::min(N, N_block) * K, [&](index_t piece) {
    const index_t i0 = piece / across * M_block, j0 = piece % across * N_block;
    call_onednn(std::min(M_block, M - i0), std::min(N_block, N - j0), K,
                a.data<float>() + i0 * a_at.row, transpose_a, a.row_stride(),
                b.data<float>() + j0 * b_at.column, transpose_b, b.row_stride(),
                c.data<float>() + i0 * c.row_stride() + j0, c.row_stride(), accumulate, refused);
  });
  if (refused != 0) {
    fail("oneDNN refused a product of ", M, " x ", K, " x ", N, " (status ", refused.load(), ")");
  }
}

// Blocks of op(b) of 256 x 128 stay in the second-level cache; threads take rows of c, and K runs
// in order.
void gemm_f64(Tensor& c,
              const Tensor& a,
              Transpose transpose_a,
              const Tensor& b,
              Transpose transpose_b,
              index_t K,
              Accumulate accumulate) {
  constexpr index_t K_block = 256, N_block = 128, M_block = 48;
  const auto& kernel = kernels<double>();
  const Strides a_at = strides_of(a, transpose_a), b_at = strides_of(b, transpose_b);
  Tensor packed = Tensor::empty({K_block, N_block}, DType::f64);
  for (index_t j0 = 0; j0 < c.columns(); j0 += N_block) {
    const index_t N = std::min(N_block, c.columns() - j0);
    for (index_t k0 = 0; k0 < K; k0 += K_block) {
      const index_t depth = std::min(K_block, K - k0);
      const double* from = b.data<double>() + k0 * b_at.row + j0 * b_at.column;
      double* block = packed.data<double>();
      for_blocks(N, 16, depth, [&](index_t first, index_t n) {
        for (index_t j = first; j < first + n; ++j) {
          for (index_t k = 0; k < depth; ++k)
            block[k * N_block + j] = from[k * b_at.row + j * b_at.column];
        }
      });
      for_blocks(c.rows(), M_block, N * depth, [&](index_t i0, index_t M) {
        kernel.multiply(c.data<double>() + i0 * c.row_stride() + j0, c.row_stride(),
                        a.data<double>() + i0 * a_at.row + k0 * a_at.column, a_at.row, a_at.column,
                        block, N_block, M, N, depth, k0 > 0 || accumulate == Accumulate::yes);
      });
    }
  }
}

}  // namespace

void gemm(Tensor& c,
          const Tensor& a,
          Transpose transpose_a,
          const Tensor& b,
          Transpose transpose_b,
          Accumulate accumulate) {
  const index_t K = a.shape()[transpose_a == Transpose::yes ? 0 : 1];
  if (K == 0) {
    if (accumulate == Accumulate::no) c.fill_zero();
    return;
  }
  if (c.dtype() == DType::f32) {
    gemm_f32(c, a, transpose_a, b, transpose_b, K, accumulate);
  } else {
    gemm_f64(c, a, transpose_a, b, transpose_b, K, accumulate);
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
