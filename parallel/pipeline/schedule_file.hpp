// A schedule as text: a line a rank, its actions in the notation of parallel/pipeline/action.hpp,
// parted by blanks. Empty lines and what follows a # are left out. Ranks, virtual stages,
// microbatches and whether the backward is split (a W somewhere) follow from the actions.
#pragma once

#include <string>

#include "parallel/pipeline/action.hpp"

namespace lockstep {

// name: what messages call the schedule. Throws Error for what is no schedule or cannot run, naming
// line, action and what it waits for.
Schedule parse_schedule(const std::string& text, const std::string& name);
Schedule read_schedule(const std::string& path);

}  // namespace lockstep
