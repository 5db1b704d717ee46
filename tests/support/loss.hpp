// The loss of rows as a number, from the op that adds it to limbs.
#pragma once

#include <algorithm>

#include "core/ops/cross_entropy.hpp"

namespace lockstep::test {

inline double cross_entropy_loss(const Tensor& largest,
                                 const Tensor& statistics,
                                 const Tensor& targets) {
  Tensor limbs = Tensor::zeros({4}, DType::i64, largest.device());
  add_cross_entropy_loss(limbs, largest, statistics, targets);
  const Tensor read = limbs.to(Device{});
  ExactSum::Limbs sum;
  std::copy_n(read.data<std::int64_t>(), sum.size(), sum.begin());
  return ExactSum(sum).value();
}

}  // namespace lockstep::test
