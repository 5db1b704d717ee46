// A model over a validation walk: what `eval` prints and the validation event holds.
#pragma once

#include <vector>

#include "data/loader.hpp"
#include "launch/report.hpp"
#include "launch/trainer.hpp"

namespace lockstep {

struct Evaluation {
  std::vector<LossTerm> terms;  // sums, counts and right predictions over all samples
  std::int64_t tokens = 0;      // real tokens read (padding left out)
};

// The parts of a loss of several terms, or of a masked objective: {"mlm_loss", x}, with accuracies
// {"mlm_accuracy", x} too. Nothing for causal models, whose loss is all there is.
Figures figures(const std::vector<LossTerm>& terms, bool accuracies);

// Collective. Data that cannot be read ends it on all ranks alike (AgreedError).
Evaluation evaluate_all(const Environment& environment,
                        Trainer& trainer,
                        const ValidationLoader& loader);

}  // namespace lockstep
