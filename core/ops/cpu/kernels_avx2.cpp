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

}  // namespace
}  // namespace lockstep::cpu::avx2

#include "core/ops/cpu/kernels.inc"
