// The schedules by name: pure functions of (stages, microbatches).
//   gpipe  all forwards, then all backwards (Huang et al. 2019)
//   1f1b   warm-up of P - 1 - r forwards, then one forward, one backward (PipeDream-Flush, Narayanan et al. 2021)
// The backward passes of a stage run in microbatch order in every schedule: gradient sums have the same bits.
#pragma once

#include <string>
#include <vector>

#include "parallel/pipeline/action.hpp"

namespace lockstep {

const std::vector<std::string>& schedule_names();  // those that make_schedule knows
// Throws Error naming --schedule and the nearest known name.
Schedule make_schedule(const std::string& name, int stages, int microbatches);

}  // namespace lockstep
