#include "core/optim/learning_rate.hpp"

#include <algorithm>

#include "core/portable_math.hpp"

namespace lockstep {

double LearningRate::at(index_t step) const {
  if (step <= warmup_steps)
    return peak * static_cast<double>(step) / static_cast<double>(warmup_steps);
  const index_t length = std::max<index_t>(1, decay_steps - warmup_steps);
  const double p =
      std::min(1.0, static_cast<double>(step - warmup_steps) / static_cast<double>(length));
  switch (decay) {
    case Decay::constant:
      return peak;
    case Decay::linear:
      return minimum + (peak - minimum) * (1.0 - p);
    case Decay::cosine:
      return minimum + (peak - minimum) * (1.0 + cos_sin_turn(p / 2)[0]) / 2.0;
  }
  return peak;
}

}  // namespace lockstep
