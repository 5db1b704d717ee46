#include "parallel/pipeline/saved_peak.hpp"

#include <algorithm>
#include <cassert>

namespace lockstep {

index_t planned_peak_bytes(const Schedule& schedule,
                           int rank,
                           const std::vector<ActivationBytes>& stages) {
  assert(static_cast<int>(stages.size()) == schedule.all_stages());
  index_t held = 0, peak = 0;
  for (const Action& a : schedule.actions[static_cast<std::size_t>(rank)]) {
    const ActivationBytes& stage = stages[static_cast<std::size_t>(a.stage)];
    const index_t until_weight = schedule.splits_backward ? stage.after_backward : 0;
    if (a.kind == Action::Kind::forward) held += stage.after_forward;
    if (a.kind == Action::Kind::backward) held += until_weight - stage.after_forward;
    if (a.kind == Action::Kind::backward_weight) held -= until_weight;
    peak = std::max(peak, held);
  }
  return peak;
}

}  // namespace lockstep
