// The kernels for AVX2 and FMA (Haswell, Zen and later).
#include <immintrin.h>

#include "core/ops/cpu/kernels.hpp"

#define LOCKSTEP_INSTRUCTION_SET avx2

namespace lockstep::cpu::avx2 {
namespace {

constexpr int tile_vectors = 2;  // 12 of 16 registers hold sums
constexpr int panel_rows = 6, panel_vectors = 2;
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

// 64-bit lanes that hold 32-bit words in their low halves.
typedef std::uint64_t Words __attribute__((vector_size(32)));
constexpr index_t lanes_of_words = 4;

inline Words all_words(std::uint32_t word) { return Words{} + word; }
inline Words counted_words(std::uint32_t first) { return Words{0, 1, 2, 3} + first; }
inline Words product_of_words(const Words& a, const Words& b) {
  return reinterpret_cast<Words>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
// a0 b0 a1 b1 ...
inline void store_interleaved(std::uint32_t* to, const Words& a, const Words& b) {
  const __m256i first = reinterpret_cast<__m256i>(a), second = reinterpret_cast<__m256i>(b);
  const __m256i even = _mm256_unpacklo_epi64(first, second);
  const __m256i odd = _mm256_unpackhi_epi64(first, second);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute2x128_si256(even, odd, 0x20));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8),
                      _mm256_permute2x128_si256(even, odd, 0x31));
}

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
