// Numbers that stopped being finite: where it began, and what the run does about it.
#pragma once

#include <cstdint>
#include <string>

#include "launch/options.hpp"
#include "launch/trainer.hpp"

namespace lockstep {

// Collective, after a step whose loss or gradient norm is not finite. Repeats its passes (the same
// bits: every random number has coordinates) and names the first place over all ranks: a weight
// that was not finite before, a layer's result, a gradient. "rank 1 dp0 pp1 tp0: layer 3, ffn,
// forward". The gradients are void afterwards.
std::string locate_nonfinite(const Environment& environment,
                             Trainer& trainer,
                             const StepBatch& batch,
                             std::int64_t step,
                             const std::vector<LossTerm>& terms);

// Counts the faults, so that a run that cannot recover ends.
class NonFinitePolicy {
 public:
  static constexpr int most_skips = 5;    // in a row
  static constexpr int most_rewinds = 3;  // without getting past the step

  explicit NonFinitePolicy(OnNonFinite choice) : choice_(choice) {}

  // What to do about a fault at `step`; what: the fault in words. Throws Error (failed) when the
  // choice is to stop, or the bound is reached.
  OnNonFinite decide(std::int64_t step, const std::string& what);
  void finite(std::int64_t step);
  // "1 of at most 5 in a row".
  std::string count_text() const;

 private:
  OnNonFinite choice_;
  int faults_ = 0;
  std::int64_t worst_step_ = 0;
};

}  // namespace lockstep
