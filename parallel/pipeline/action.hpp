// A pipeline schedule as data: per rank the compute actions in the order they run.
// Printed and parsed as "[v]F|B|W m": "F0", "5B3"; v is the virtual stage (left out when there is one per rank).
#pragma once

#include <string>
#include <vector>

namespace lockstep {

struct Action {
  enum class Kind { forward, backward, backward_weight };  // F, B, W
  Kind kind = Kind::forward;
  int stage = 0;       // virtual stage, 0 first in the model
  int microbatch = 0;
  bool operator==(const Action&) const = default;
};

std::string to_string(const Action& action, bool with_stage);
Action parse_action(const std::string& text, int default_stage);  // throws Error naming the text

struct Schedule {
  std::string name;
  int stages = 1;          // P: ranks along pp
  int virtual_stages = 1;  // per rank; rank r holds r, r + P, ...
  int microbatches = 1;
  bool splits_backward = false;               // B is the input gradient only, W follows apart
  std::vector<std::vector<Action>> actions;   // [rank][position]
};

}  // namespace lockstep
