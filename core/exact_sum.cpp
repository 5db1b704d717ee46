#include "core/exact_sum.hpp"

#include <cmath>
#include <cstddef>
#include <limits>

namespace lockstep {
namespace {

constexpr double limb = 0x1p24;

}  // namespace

ExactSum& ExactSum::operator+=(double term) {
  if (!(std::fabs(term) < 0x1p62)) {
    ++limbs_[3];
    return *this;
  }
  const double whole = std::floor(term), rest = (term - whole) * limb;
  const double middle = std::floor(rest);
  limbs_[0] += static_cast<std::int64_t>(whole);
  limbs_[1] += static_cast<std::int64_t>(middle);
  limbs_[2] += static_cast<std::int64_t>(std::floor((rest - middle) * limb + 0.5));
  return *this;
}

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
