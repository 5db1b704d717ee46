// ln, exp, sin, cos and powers in double from + - * / and comparisons only: the bits of libraries
// differ between versions, CPUs and GPUs. Errors of a few units in the last place. Compiled without
// fused multiply-add wherever it is used.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

namespace lockstep {

// ln x = e ln 2 + 2 artanh((m - 1) / (m + 1)), x = m 2^e, m in [sqrt(1/2), sqrt 2): the series'
// ratio is below 0.03.
constexpr double natural_log(double x) {
  using limits = std::numeric_limits<double>;
  if (!(x <= limits::max())) return x;  // infinite or NaN
  if (x <= 0) return x == 0 ? -limits::infinity() : limits::quiet_NaN();
  double exponent = -1023;
  if (x < limits::min()) {
    x *= 0x1p54;
    exponent -= 54;
  }
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x);
  exponent += static_cast<double>(bits >> 52);
  double m = std::bit_cast<double>((bits & 0xFFFFFFFFFFFFFull) | 0x3FF0000000000000ull);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent += 1;
  }
  const double s = (m - 1.0) / (m + 1.0), s2 = s * s;
  double series = 0;
  for (int k = 23; k >= 1; k -= 2) series = series * s2 + 1.0 / k;
  return exponent * 0.69314718055994530942 + 2.0 * s * series;
}

// (cos, sin) of 2 pi u, 0 <= u < 2^50: the nearest quarter turn comes off first, then Taylor on
// [-pi/4, pi/4].
constexpr std::array<double, 2> cos_sin_turn(double u) {
  const auto quarters = static_cast<std::int64_t>(4.0 * u + 0.5);
  const double angle = (4.0 * u - static_cast<double>(quarters)) * 1.57079632679489661923;
  const double a2 = angle * angle;
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

// e^x: x = n ln 2 + r, |r| <= ln 2 / 2, and Taylor's series of e^r. 0 and infinity beyond the
// normal range of double.
constexpr double exponential(double x) {
  if (x != x) return x;
  if (x < -708.0) return 0;
  if (x > 709.0) return std::numeric_limits<double>::infinity();
  const double turns = x / 0.69314718055994530942;
  const auto n = static_cast<std::int64_t>(turns + (x < 0 ? -0.5 : 0.5));
  // ln 2 in two parts, the first of few bits: n times it is exact.
  const double r = (x - static_cast<double>(n) * 0.693145751953125) -
                   static_cast<double>(n) * 1.42860682030941723212e-6;
  double series = 1;
  for (int k = 18; k >= 1; --k) series = 1.0 + series * r / k;
  return series * std::bit_cast<double>(static_cast<std::uint64_t>(n + 1023) << 52);
}

// base^exponent by squaring, exponent >= 0.
constexpr double power(double base, std::int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 != 0) result *= base;
    base *= base;
  }
  return result;
}

}  // namespace lockstep
