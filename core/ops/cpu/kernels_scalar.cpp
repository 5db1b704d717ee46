// The kernels for every x86-64: SSE2, no fused multiply-add.
#include <emmintrin.h>

#include "core/ops/cpu/kernels.hpp"

#define LOCKSTEP_INSTRUCTION_SET scalar

namespace lockstep::cpu::scalar {
namespace {

constexpr int tile_vectors = 2;
constexpr bool multiplies_from_memory = false;
template <typename T>
constexpr index_t transposed_block = 1;  // element by element

template <typename T>
struct Vector;
template <>
struct Vector<float> {
  using type = __m128;
};
template <>
struct Vector<double> {
  using type = __m128d;
};

inline __m128 load_vector(const float* from) { return _mm_loadu_ps(from); }
inline __m128d load_vector(const double* from) { return _mm_loadu_pd(from); }
inline void store_vector(float* to, const __m128& vector) { _mm_storeu_ps(to, vector); }
inline void store_vector(double* to, const __m128d& vector) { _mm_storeu_pd(to, vector); }

template <typename V>
inline V multiply_add(V a, V b, V c) {
  return a * b + c;
}

inline void broadcast(__m128& to, const float* from) { to = _mm_set1_ps(*from); }
inline void broadcast(__m128d& to, const double* from) { to = _mm_set1_pd(*from); }
template <typename V>
inline void add_multiplied(V& sum, const V& a, const V& b) {
  sum = a * b + sum;
}
inline void add_multiplied(__m128& sum, const float* a, const __m128& b) {
  sum = _mm_set1_ps(*a) * b + sum;
}
inline void add_multiplied(__m128d& sum, const double* a, const __m128d& b) {
  sum = _mm_set1_pd(*a) * b + sum;
}

}  // namespace
}  // namespace lockstep::cpu::scalar

#include "core/ops/cpu/kernels.inc"
