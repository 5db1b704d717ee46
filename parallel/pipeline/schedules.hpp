// The schedules by name: pure functions of (stages P, microbatches M, virtual stages per rank V).
// Rank r:
//   gpipe        all forwards, then all backwards (Huang et al. 2019)
//   1f1b         warm-up of P - 1 - r forwards, then one forward, one backward (PipeDream-Flush,
//   Narayanan et al. 2021) interleaved  1f1b over V virtual stages a rank, P microbatches of each
//   in turn (Narayanan et al. 2021); P divides M zb-h1        1f1b with weight gradients apart, r
//   of them held back to fill the drain (Qi et al. 2024) zb-v         two virtual stages a rank,
//   placed as a V, weight gradients apart (Qi et al. 2024); M >= 2P
// The backward passes of a stage run in microbatch order in every schedule: gradient sums have the
// same bits.
#pragma once

#include <string>
#include <vector>

#include "parallel/pipeline/action.hpp"

namespace lockstep {

const std::vector<std::string>& schedule_names();  // those that make_schedule knows
// virtual_stages 0: the schedule's own (2 for interleaved and zb-v, else 1).
// Throws Error naming the option and its value; for --schedule the nearest known name.
Schedule make_schedule(const std::string& name,
                       int stages,
                       int microbatches,
                       int virtual_stages = 0);

}  // namespace lockstep
