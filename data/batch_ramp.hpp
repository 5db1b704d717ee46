// A global batch that grows: from `start` sequences to `full` over the first `steps` steps, by
// multiples of `start`, the same on every layout. Step s of them (1 is the first) has
//   start (1 + floor((full / start - 1) (s - 1) / steps))
// sequences, later ones have `full`. A function of the step: resuming needs no state.
#pragma once

#include <cstdint>

#include "core/shape.hpp"

namespace lockstep {

struct BatchRamp {
  index_t full = 0;
  index_t start = 0;       // divides full; equal to it without a ramp
  std::int64_t steps = 0;  // 0: no ramp

  index_t size_at(std::int64_t step) const;
  index_t before(std::int64_t step) const;  // sequences of all steps before this one
};

}  // namespace lockstep
