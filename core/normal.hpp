// Normal numbers by Box & Muller (1958): pair k = (elements 2k, 2k + 1) of a canonical matrix is
//   sqrt(-2 ln u1) (cos 2 pi u2, sin 2 pi u2),  u1 in (0, 1], u2 in [0, 1),
// u1 from words 0 and 1 of philox({k low, k high, 0, 0}, {key low, key high}), u2 from words 2 and
// 3 (low word first). ln, sin and cos are series of our own in + - * / only, and the caller takes
// the square root: the libraries' bits differ between CPUs and from GPUs. Compiled without fused
// multiply-add wherever it is used.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "core/random.hpp"

namespace lockstep {

// The upper 53 bits of two words: an integer in [0, 2^53).
constexpr double integer_of(std::uint32_t low, std::uint32_t high) {
  return static_cast<double>(((std::uint64_t{high} << 32) | low) >> 11);
}

// ln x = e ln 2 + 2 artanh((m - 1) / (m + 1)), x = m 2^e, m in [sqrt(1/2), sqrt 2): the series'
// ratio is below 0.03.
constexpr double natural_log(double x) {
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xFFFFFFFFFFFFFull) | 0x3FF0000000000000ull);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double s = (m - 1.0) / (m + 1.0), s2 = s * s;
  double series = 0;
  for (int k = 23; k >= 1; k -= 2) series = series * s2 + 1.0 / k;
  return exponent * 0.69314718055994530942 + 2.0 * s * series;
}

// (cos, sin) of 2 pi u, 0 <= u < 1: the nearest quarter turn comes off first, then Taylor on
// [-pi/4, pi/4].
constexpr std::array<double, 2> cos_sin_turn(double u) {
  const int quarters = static_cast<int>(4.0 * u + 0.5);
  const double angle = (4.0 * u - quarters) * 1.57079632679489661923, a2 = angle * angle;
  double sine = 1, cosine = 1;
  for (int k = 18; k >= 2; k -= 2) {
    sine = 1.0 - sine * a2 / (k * (k + 1));
    cosine = 1.0 - cosine * a2 / (k * (k - 1));
  }
  sine *= angle;
  switch (quarters % 4) {
    case 0:
      return {cosine, sine};
    case 1:
      return {-sine, cosine};
    case 2:
      return {-cosine, -sine};
    default:
      return {sine, -cosine};
  }
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
