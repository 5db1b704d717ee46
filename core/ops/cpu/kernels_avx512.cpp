// The kernels for AVX-512 F, BW, DQ and VL (Skylake-X, Zen 4 and later).
#include <immintrin.h>

#include "core/ops/cpu/kernels.hpp"

#define LOCKSTEP_INSTRUCTION_SET avx512

namespace lockstep::cpu::avx512 {
namespace {

constexpr int tile_vectors = 4;  // 24 of 32 registers hold sums
constexpr bool multiplies_from_memory = true;

template <typename T>
struct Vector;
template <>
struct Vector<float> {
  using type = __m512;
};
template <>
struct Vector<double> {
  using type = __m512d;
};

inline __m512 load_vector(const float* from) { return _mm512_loadu_ps(from); }
inline __m512d load_vector(const double* from) { return _mm512_loadu_pd(from); }
inline void store_vector(float* to, const __m512& vector) { _mm512_storeu_ps(to, vector); }
inline void store_vector(double* to, const __m512d& vector) { _mm512_storeu_pd(to, vector); }

inline float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline __m512 multiply_add(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
inline __m512d multiply_add(__m512d a, __m512d b, __m512d c) { return _mm512_fmadd_pd(a, b, c); }

// The steps of a register tile. As assembly, because compilers gather a step's broadcasts before
// its multiply-adds, run out of registers and keep sums in memory.
inline void broadcast(__m512& to, const float* from) {
  asm volatile("vbroadcastss %1, %0" : "=v"(to) : "m"(*from));
}
inline void broadcast(__m512d& to, const double* from) {
  asm volatile("vbroadcastsd %1, %0" : "=v"(to) : "m"(*from));
}
inline void add_multiplied(__m512& sum, const __m512& a, const __m512& b) {
  asm volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
inline void add_multiplied(__m512d& sum, const __m512d& a, const __m512d& b) {
  asm volatile("vfmadd231pd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
inline void add_multiplied(__m512& sum, const float* a, const __m512& b) {
  asm volatile("vfmadd231ps %1%{1to16%}, %2, %0" : "+v"(sum) : "m"(*a), "v"(b));
}
inline void add_multiplied(__m512d& sum, const double* a, const __m512d& b) {
  asm volatile("vfmadd231pd %1%{1to8%}, %2, %0" : "+v"(sum) : "m"(*a), "v"(b));
}

#include "core/ops/cpu/kernels_transpose.inc"

}  // namespace
}  // namespace lockstep::cpu::avx512

#include "core/ops/cpu/kernels.inc"
