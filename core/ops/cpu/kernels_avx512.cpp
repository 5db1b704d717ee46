// The kernels for AVX-512 F, BW, DQ and VL (Skylake-X, Zen 4 and later).
#include <immintrin.h>

#include "core/ops/cpu/kernels.hpp"

#define LOCKSTEP_INSTRUCTION_SET avx512
#define LOCKSTEP_VECTOR_BYTES 64

namespace lockstep::cpu::avx512 {
namespace {

inline float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline __m512 multiply_add(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
inline __m512d multiply_add(__m512d a, __m512d b, __m512d c) { return _mm512_fmadd_pd(a, b, c); }

}  // namespace
}  // namespace lockstep::cpu::avx512

#include "core/ops/cpu/kernels.inc"
