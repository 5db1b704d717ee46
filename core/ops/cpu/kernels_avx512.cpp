// The kernels for AVX-512 F, BW, DQ and VL (Skylake-X, Zen 4 and later).
#include <immintrin.h>

#include "core/ops/cpu/kernels.hpp"

#define LOCKSTEP_INSTRUCTION_SET avx512

namespace lockstep::cpu::avx512 {
namespace {

constexpr int tile_vectors = 4;  // 24 of 32 registers hold sums
constexpr int panel_rows = 8, panel_vectors = 3;
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

// 64-bit lanes that hold 32-bit words in their low halves.
typedef std::uint64_t Words __attribute__((vector_size(64)));
constexpr index_t lanes_of_words = 8;

inline Words all_words(std::uint32_t word) { return Words{} + word; }
inline Words counted_words(std::uint32_t first) { return Words{0, 1, 2, 3, 4, 5, 6, 7} + first; }
inline Words product_of_words(const Words& a, const Words& b) {
  return reinterpret_cast<Words>(
      _mm512_maskz_mul_epu32(0xff, reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
// a0 b0 a1 b1 ...
inline void store_interleaved(std::uint32_t* to, const Words& a, const Words& b) {
  const __m512i low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
  const __m512i high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
  const __m512i first = reinterpret_cast<__m512i>(a), second = reinterpret_cast<__m512i>(b);
  _mm512_storeu_si512(to, _mm512_permutex2var_epi64(first, low, second));
  _mm512_storeu_si512(to + 16, _mm512_permutex2var_epi64(first, high, second));
}

// to[k to_row + j] = from[j from_row + k], k, j < 16, j past `rows` zero: four rounds that swap
// blocks of 8, 4, 2 and 1 columns between rows as far apart.
template <int distance>
__attribute__((always_inline)) inline void swap_blocks(__m512* row) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i by = _mm512_set1_epi32(distance), other = _mm512_set1_epi32(16);
  const __mmask16 odd = _mm512_test_epi32_mask(lane, by);
  const __m512i low = _mm512_mask_add_epi32(lane, odd, _mm512_sub_epi32(lane, by), other);
  const __m512i high = _mm512_mask_add_epi32(_mm512_add_epi32(lane, by), odd, lane, other);
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) {
    if ((r & distance) != 0) continue;
    const __m512 a = row[r], b = row[r + distance];
    row[r] = _mm512_permutex2var_ps(a, low, b);
    row[r + distance] = _mm512_permutex2var_ps(a, high, b);
  }
}

inline void transpose(float* to,
                      index_t to_row,
                      const float* from,
                      index_t from_row,
                      index_t rows) {
  __m512 row[16];
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) {
    row[r] = r < rows ? _mm512_loadu_ps(from + r * from_row) : _mm512_setzero_ps();
  }
  swap_blocks<8>(row);
  swap_blocks<4>(row);
  swap_blocks<2>(row);
  swap_blocks<1>(row);
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) _mm512_storeu_ps(to + r * to_row, row[r]);
}
inline void transpose(double* to,
                      index_t to_row,
                      const double* from,
                      index_t from_row,
                      index_t rows) {
  for (index_t k = 0; k < 8; ++k) {
    for (index_t j = 0; j < 8; ++j) to[k * to_row + j] = j < rows ? from[j * from_row + k] : 0;
  }
}

}  // namespace
}  // namespace lockstep::cpu::avx512

#include "core/ops/cpu/kernels.inc"
