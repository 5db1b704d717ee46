// Normal numbers by Box & Muller (1958): pair k = (elements 2k, 2k + 1) of a canonical matrix is
//   sqrt(-2 ln u1) (cos 2 pi u2, sin 2 pi u2),  u1 in (0, 1], u2 in [0, 1),
// u1 from words 0 and 1 of philox({k low, k high, 0, 0}, {key low, key high}), u2 from words 2 and
// 3 (low word first). ln, sin and cos are those of core/portable_math, and the caller takes the
// square root: the same bits on every CPU and GPU.
#pragma once

#include <array>
#include <cstdint>

#include "core/portable_math.hpp"
#include "core/random.hpp"

namespace lockstep {

// The upper 53 bits of two words: an integer in [0, 2^53).
constexpr double integer_of(std::uint32_t low, std::uint32_t high) {
  return static_cast<double>(((std::uint64_t{high} << 32) | low) >> 11);
}

// A pair is sqrt(radius_squared) times (cosine, sine).
struct PolarPair {
  double radius_squared = 0, cosine = 0, sine = 0;
};

constexpr PolarPair normal_polar(std::uint64_t pair, PhiloxKey key) {
  const PhiloxCounter words =
      philox({static_cast<std::uint32_t>(pair), static_cast<std::uint32_t>(pair >> 32), 0, 0}, key);
  const double u1 = (integer_of(words[0], words[1]) + 1.0) * 0x1p-53;
  const double u2 = integer_of(words[2], words[3]) * 0x1p-53;
  const std::array<double, 2> turn = cos_sin_turn(u2);
  return {-2.0 * natural_log(u1), turn[0], turn[1]};
}

}  // namespace lockstep
