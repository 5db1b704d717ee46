// A sum of doubles whose bits do not depend on the order of its terms: each term is rounded to a
// multiple of 2^-48 and kept as three integers of 1, 2^-24 and 2^-48, which are summed apart. Exact
// for up to 2^38 terms that add up to less than 2^62. A term that is too large or no number makes
// the sum NaN.
#pragma once

#include <array>
#include <cstdint>

namespace lockstep {

class ExactSum {
 public:
  using Limbs = std::array<std::int64_t, 4>;  // whole, 2^-24, 2^-48, and terms that did not fit

  ExactSum() = default;
  explicit ExactSum(const Limbs& limbs) : limbs_(limbs) {}

  // What a term adds to each limb; kernels add the same.
  static constexpr Limbs limbs_of(double term) {
    if (!(term < 0x1p62 && term > -0x1p62)) return {0, 0, 0, 1};
    const std::int64_t whole = floor_of(term);
    const double rest = (term - static_cast<double>(whole)) * limb;
    const std::int64_t middle = floor_of(rest);
    return {whole, middle, floor_of((rest - static_cast<double>(middle)) * limb + 0.5), 0};
  }

  ExactSum& operator+=(double term) { return *this += ExactSum(limbs_of(term)); }
  ExactSum& operator+=(const ExactSum& other);
  double value() const;
  // For sums over ranks: limb by limb.
  const Limbs& limbs() const { return limbs_; }

 private:
  static constexpr double limb = 0x1p24;

  static constexpr std::int64_t floor_of(double x) {
    const auto towards_zero = static_cast<std::int64_t>(x);
    return static_cast<double>(towards_zero) > x ? towards_zero - 1 : towards_zero;
  }

  Limbs limbs_{};
};

}  // namespace lockstep
