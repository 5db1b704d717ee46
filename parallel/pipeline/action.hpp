// A pipeline schedule as data: per rank the compute actions in the order they run.
// Printed and parsed as "[v]F|B|W m": "F0", "5B3"; v is the virtual stage (left out when there is
// one per rank).
#pragma once

#include <string>
#include <vector>

namespace lockstep {

struct Action {
  enum class Kind { forward, backward, backward_weight };  // F, B, W
  Kind kind = Kind::forward;
  int stage = 0;  // virtual stage, 0 first in the model
  int microbatch = 0;
  bool operator==(const Action&) const = default;
};

std::string to_string(const Action& action, bool with_stage);
Action parse_action(const std::string& text, int default_stage);  // throws Error naming the text

// Which rank holds a virtual stage: in turn round the ranks, or down them and back up (two per
// rank).
enum class Placement { round, v };

struct Schedule {
  std::string name;
  int stages = 1;          // P: ranks along pp
  int virtual_stages = 1;  // V: per rank
  int microbatches = 1;
  bool splits_backward = false;              // B is the input gradient only, W follows apart
  std::vector<std::vector<Action>> actions;  // [rank][position]
  Placement placement = Placement::round;  // round: rank r holds r, r + P, ...; v: r and 2P - 1 - r

  int all_stages() const { return stages * virtual_stages; }
  int rank_of(int stage) const;  // stage in [0, all_stages())
};

}  // namespace lockstep
