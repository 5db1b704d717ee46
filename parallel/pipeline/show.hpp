// A schedule for people and for programs: what `lockstep schedule show` prints.
#pragma once

#include <string>

#include "parallel/pipeline/check.hpp"

namespace lockstep {

// A line per rank, time from left to right ("F0 F1 ...... B0-- F2"; dots: idle), then makespan,
// bubble and peaks. Without the grid when it would be too large to read.
std::string show_text(const Schedule& schedule, ActionTimes times = {});
// {"makespan": .., "bubble_fraction": .., "peak_activations": [..], "actions": [["F0", ..], ..]}
// and a line end.
std::string show_json(const Schedule& schedule, ActionTimes times = {});

}  // namespace lockstep
