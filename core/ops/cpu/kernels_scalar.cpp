// The kernels for every x86-64: SSE2. It has no fused multiply-add, so floats get one in doubles.
#include <emmintrin.h>

#include "core/ops/cpu/kernels.hpp"

#define LOCKSTEP_INSTRUCTION_SET scalar

namespace lockstep::cpu::scalar {
namespace {

constexpr int tile_vectors = 2;
constexpr int panel_rows = 4, panel_vectors = 2;
constexpr bool multiplies_from_memory = false;

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

typedef double WideDoubles __attribute__((vector_size(32)));
typedef long long WideIntegers __attribute__((vector_size(32)));

// fma(a, b, c) of floats: a b is exact in double; the sum's rounding error shows whether it is, and
// a sum that is not is made odd (Boldo & Melquiond 2008), so that rounding again to float is right.
inline __m128 multiply_add(__m128 a, __m128 b, __m128 c) {
  const WideDoubles product =
      __builtin_convertvector(a, WideDoubles) * __builtin_convertvector(b, WideDoubles);
  const WideDoubles term = __builtin_convertvector(c, WideDoubles);
  const WideDoubles sum = product + term;
  const WideDoubles part = sum - product;
  const WideDoubles error = (product - (sum - part)) + (term - part);
  WideIntegers bits;
  __builtin_memcpy(&bits, &sum, sizeof bits);
  const WideIntegers inexact = (error < 0.0) | (error > 0.0);  // false for NaN: an infinite sum
  const WideIntegers outward = ~((error > 0.0) ^ (sum > 0.0));
  const WideIntegers even = (bits & 1) - 1;
  bits += inexact & even & (2 * (outward & 1) - 1);
  WideDoubles odd;
  __builtin_memcpy(&odd, &bits, sizeof odd);
  return __builtin_convertvector(odd, __m128);
}
inline float multiply_add(float a, float b, float c) {
  return multiply_add(__m128{a}, __m128{b}, __m128{c})[0];
}

inline double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline __m128d multiply_add(__m128d a, __m128d b, __m128d c) {
  return __m128d{multiply_add(a[0], b[0], c[0]), multiply_add(a[1], b[1], c[1])};
}

inline void broadcast(__m128& to, const float* from) { to = _mm_set1_ps(*from); }
inline void broadcast(__m128d& to, const double* from) { to = _mm_set1_pd(*from); }
template <typename V>
inline void add_multiplied(V& sum, const V& a, const V& b) {
  sum = multiply_add(a, b, sum);
}

// to[k to_row + j] = from[j from_row + k] for one vector's lanes of k and j, j past `rows` zero.
template <typename T>
inline void transpose(T* to, index_t to_row, const T* from, index_t from_row, index_t rows) {
  constexpr index_t W = 16 / static_cast<index_t>(sizeof(T));
  for (index_t k = 0; k < W; ++k) {
    for (index_t j = 0; j < W; ++j) to[k * to_row + j] = j < rows ? from[j * from_row + k] : 0;
  }
}

// 64-bit lanes that hold 32-bit words in their low halves.
typedef std::uint64_t Words __attribute__((vector_size(16)));
constexpr index_t lanes_of_words = 2;

inline Words all_words(std::uint32_t word) { return Words{} + word; }
inline Words counted_words(std::uint32_t first) { return Words{0, 1} + first; }
inline Words product_of_words(const Words& a, const Words& b) {
  return reinterpret_cast<Words>(
      _mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
}
// a0 b0 a1 b1 ...
inline void store_interleaved(std::uint32_t* to, const Words& a, const Words& b) {
  const __m128i first = reinterpret_cast<__m128i>(a), second = reinterpret_cast<__m128i>(b);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_unpacklo_epi64(first, second));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 4), _mm_unpackhi_epi64(first, second));
}

}  // namespace
}  // namespace lockstep::cpu::scalar

#include "core/ops/cpu/kernels.inc"
