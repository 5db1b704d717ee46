// What each op of a thread took, one event per call, for traces. Until a thread asks for it an op
// pays for one look at a pointer.
#pragma once

#include <string>
#include <vector>

#include "core/device.hpp"

namespace lockstep {

struct OpEvent {
  std::string op;             // "layer_norm_forward"
  double begin = 0, end = 0;  // seconds of std::chrono::steady_clock
  double flops = 0;           // of products; 0: of an op that memory bounds
};

// From now on the ops that this thread starts on the CPU are noted; a GPU's run after they are
// started, and have no time here.
void start_op_log();
// Since the last call, in the order they ended. Empty when the thread does not log.
std::vector<OpEvent> take_op_log();

// Notes one op, from here to the end of its scope. call: its name, and what follows a parenthesis
// does not count.
class OpTimer {
 public:
  OpTimer(Device device, const char* call, double flops = 0);
  ~OpTimer();
  OpTimer(const OpTimer&) = delete;
  OpTimer& operator=(const OpTimer&) = delete;

 private:
  const char* call_;  // null: not noted
  double flops_, begin_ = 0;
};

}  // namespace lockstep
