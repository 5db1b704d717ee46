// Clipping by the global norm: gradients are multiplied by min(1, max_norm / (norm + 1e-6));
// max_norm 0 never clips.
#pragma once

namespace lockstep {

inline double clip_factor(double norm, double max_norm) {
  if (max_norm == 0) return 1.0;
  const double factor = max_norm / (norm + 1e-6);
  return factor < 1.0 ? factor : 1.0;
}

}  // namespace lockstep
