// The kernels for every x86-64: SSE2. It has no fused multiply-add, so floats get one in doubles.
#include "core/ops/cpu/kernels.hpp"

#define LOCKSTEP_INSTRUCTION_SET scalar
#define LOCKSTEP_VECTOR_BYTES 16

namespace lockstep::cpu::scalar {
namespace {

typedef float Floats __attribute__((vector_size(16)));
typedef double Doubles __attribute__((vector_size(16)));
typedef double WideDoubles __attribute__((vector_size(32)));
typedef long long WideIntegers __attribute__((vector_size(32)));

// fma(a, b, c) of floats: a b is exact in double; the sum's rounding error shows whether it is, and
// a sum that is not is made odd (Boldo & Melquiond 2008), so that rounding again to float is right.
inline Floats multiply_add(Floats a, Floats b, Floats c) {
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
  return __builtin_convertvector(odd, Floats);
}
inline float multiply_add(float a, float b, float c) {
  return multiply_add(Floats{a}, Floats{b}, Floats{c})[0];
}

inline double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline Doubles multiply_add(Doubles a, Doubles b, Doubles c) {
  return Doubles{multiply_add(a[0], b[0], c[0]), multiply_add(a[1], b[1], c[1])};
}

// to[k to_row + j] = from[j from_row + k] for one vector's lanes of k and j, j past `rows` zero.
template <typename T>
inline void transpose(T* to, index_t to_row, const T* from, index_t from_row, index_t rows) {
  constexpr index_t W = 16 / static_cast<index_t>(sizeof(T));
  for (index_t k = 0; k < W; ++k) {
    for (index_t j = 0; j < W; ++j) to[k * to_row + j] = j < rows ? from[j * from_row + k] : 0;
  }
}

}  // namespace
}  // namespace lockstep::cpu::scalar

#include "core/ops/cpu/kernels.inc"
