// The kernels for AVX2 and FMA (Haswell, Zen and later).
#include <immintrin.h>

#include "core/ops/cpu/kernels.hpp"

#define LOCKSTEP_INSTRUCTION_SET avx2
#define LOCKSTEP_VECTOR_BYTES 32

namespace lockstep::cpu::avx2 {
namespace {

inline float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline __m256 multiply_add(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
inline __m256d multiply_add(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }

// to[k to_row + j] = from[j from_row + k], k, j < 8, j past `rows` zero: pairs, quadruples, then
// halves of registers.
inline void transpose(float* to,
                      index_t to_row,
                      const float* from,
                      index_t from_row,
                      index_t rows) {
  __m256 r[8], t[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    r[i] = i < rows ? _mm256_loadu_ps(from + i * from_row) : _mm256_setzero_ps();
  }
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + i * to_row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + (i + 4) * to_row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}
inline void transpose(double* to,
                      index_t to_row,
                      const double* from,
                      index_t from_row,
                      index_t rows) {
  for (index_t k = 0; k < 4; ++k) {
    for (index_t j = 0; j < 4; ++j) to[k * to_row + j] = j < rows ? from[j * from_row + k] : 0;
  }
}

}  // namespace
}  // namespace lockstep::cpu::avx2

#include "core/ops/cpu/kernels.inc"
