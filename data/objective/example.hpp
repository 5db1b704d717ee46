// One sample on its way into a batch: at most T tokens and what is to be predicted where.
#pragma once

#include <cstdint>
#include <vector>

namespace lockstep {

struct Example {
  std::int64_t sample = 0;              // global sample number
  std::vector<std::int32_t> tokens;     // as the model sees them
  std::vector<std::int32_t> segments;   // as long as tokens; empty: none
  std::vector<std::int32_t> positions;  // predicted positions, ascending
  std::vector<std::int32_t> targets;    // the id that stands there
  std::int32_t label = -1;              // NSP: 0 = B follows A, 1 = random; -1: none
};

}  // namespace lockstep
