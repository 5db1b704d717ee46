// The learning rate of step s = 1, 2, ...: peak s / warmup up to s = warmup, then with p = min(1,
// (s - warmup) / max(1, decay - warmup)):
//   constant  peak        linear  min + (peak - min) (1 - p)        cosine  min + (peak - min) (1 +
//   cos(pi p)) / 2
#pragma once

#include "core/dtype.hpp"

namespace lockstep {

enum class Decay { constant, linear, cosine };

struct LearningRate {
  double peak = 0, minimum = 0;
  index_t warmup_steps = 0;
  index_t decay_steps = 0;  // the step at which the minimum is reached
  Decay decay = Decay::constant;

  double at(index_t step) const;
};

}  // namespace lockstep
