// A pipeline's timeline as a picture: a row a rank, time from left to right, a bar an action. Of a
// schedule as it should run, or of actions as they ran.
#pragma once

#include <string>
#include <vector>

#include "parallel/pipeline/check.hpp"

namespace lockstep {

struct Bar {
  int rank = 0;
  Action action;
  double begin = 0, end = 0;  // in any unit, from any zero
};

// When a rank stood and waited for communication inside its actions.
struct Wait {
  int rank = 0;
  double begin = 0, end = 0;
};

std::vector<Bar> bars_of(const Schedule& schedule, ActionTimes times = {});
// SVG, with a line end. Forwards blue, backwards green, weight gradients orange; later virtual
// stages of a rank darker. Bars wide enough carry their microbatch; waits are red along their feet.
std::string draw_svg(const std::vector<Bar>& bars,
                     const std::string& title,
                     const std::vector<Wait>& waits = {});

}  // namespace lockstep
