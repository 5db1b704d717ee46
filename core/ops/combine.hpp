// into = into (+|max|min) x, elementwise: a step of a sum over ranks. Flat, same dtype and count:
// f32, f64, i32, i64. Integers wrap; NaN wins a maximum or minimum. A GPU's sums have the CPU's
// bits.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/error.hpp"
#include "core/group.hpp"

namespace lockstep {

void combine(Tensor& into, const Tensor& x, Reduce reduce);

// Calls f(T{}) with the element type; fails on those that have no sum over ranks.
template <typename F>
void with_summed_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::u8:
    case DType::bf16:
      fail(name_of(dtype), " elements have no sum over ranks");
  }
}

template <typename T>
constexpr bool is_nan(T x) {
  if constexpr (std::is_floating_point_v<T>) return x != x;
  return false;
}

// What both devices compute per element. A NaN already in `a` fails both comparisons and stays.
template <Reduce reduce, typename T>
constexpr T combined(T a, T b) {
  if constexpr (reduce == Reduce::max) return a < b || is_nan(b) ? b : a;
  if constexpr (reduce == Reduce::min) return b < a || is_nan(b) ? b : a;
  if constexpr (std::is_integral_v<T>) {
    // Unsigned, because what pads unequal spans holds anything.
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
  } else {
    return a + b;
  }
}

}  // namespace lockstep
