// The kernels for AVX2 and FMA (Haswell, Zen and later).
#include <immintrin.h>

#include "core/ops/cpu/kernels.hpp"

#define LOCKSTEP_INSTRUCTION_SET avx2

namespace lockstep::cpu::avx2 {
namespace {

constexpr int tile_vectors = 2;  // 12 of 16 registers hold sums
constexpr bool multiplies_from_memory = false;

template <typename T>
struct Vector;
template <>
struct Vector<float> {
  using type = __m256;
};
template <>
struct Vector<double> {
  using type = __m256d;
};

inline __m256 load_vector(const float* from) { return _mm256_loadu_ps(from); }
inline __m256d load_vector(const double* from) { return _mm256_loadu_pd(from); }
inline void store_vector(float* to, const __m256& vector) { _mm256_storeu_ps(to, vector); }
inline void store_vector(double* to, const __m256d& vector) { _mm256_storeu_pd(to, vector); }

inline float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline __m256 multiply_add(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
inline __m256d multiply_add(__m256d a, __m256d b, __m256d c) { return _mm256_fmadd_pd(a, b, c); }

// The steps of a register tile. As assembly, because compilers gather a step's broadcasts before
// its multiply-adds, run out of registers and keep sums in memory.
inline void broadcast(__m256& to, const float* from) {
  asm volatile("vbroadcastss %1, %0" : "=x"(to) : "m"(*from));
}
inline void broadcast(__m256d& to, const double* from) {
  asm volatile("vbroadcastsd %1, %0" : "=x"(to) : "m"(*from));
}
inline void add_multiplied(__m256& sum, const __m256& a, const __m256& b) {
  asm volatile("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}
inline void add_multiplied(__m256d& sum, const __m256d& a, const __m256d& b) {
  asm volatile("vfmadd231pd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}
inline void add_multiplied(__m256& sum, const float* a, const __m256& b) {
  add_multiplied(sum, _mm256_broadcast_ss(a), b);
}
inline void add_multiplied(__m256d& sum, const double* a, const __m256d& b) {
  add_multiplied(sum, _mm256_broadcast_sd(a), b);
}

#include "core/ops/cpu/kernels_transpose.inc"

}  // namespace
}  // namespace lockstep::cpu::avx2

#include "core/ops/cpu/kernels.inc"
