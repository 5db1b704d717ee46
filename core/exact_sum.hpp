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

  ExactSum& operator+=(double term);
  ExactSum& operator+=(const ExactSum& other);
  double value() const;
  // For sums over ranks: limb by limb.
  const Limbs& limbs() const { return limbs_; }

 private:
  Limbs limbs_{};
};

}  // namespace lockstep
