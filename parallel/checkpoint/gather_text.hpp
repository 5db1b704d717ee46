// Texts of different lengths from every member of a group. Collective.
#pragma once

#include <string>
#include <vector>

#include "core/group.hpp"

namespace lockstep::checkpoint {

// By rank. On rank 0; the others get nothing.
std::vector<std::string> gather_text(Group& group, const std::string& text);
// On every rank; for short texts (each takes the room of the longest).
std::vector<std::string> all_gather_text(Group& group, const std::string& text);

}  // namespace lockstep::checkpoint
