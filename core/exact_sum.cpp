#include "core/exact_sum.hpp"

#include <cstddef>
#include <limits>

namespace lockstep {
ExactSum& ExactSum::operator+=(const ExactSum& other) {
  for (std::size_t i = 0; i < limbs_.size(); ++i) limbs_[i] += other.limbs_[i];
  return *this;
}

double ExactSum::value() const {
  if (limbs_[3] > 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(limbs_[0]) +
         (static_cast<double>(limbs_[1]) + static_cast<double>(limbs_[2]) / limb) / limb;
}

}  // namespace lockstep
