// How much of a step's pipeline time the ranks stood idle, from their own timelines, beside what
// the schedule's simulation gives for the times that its actions took.
#pragma once

#include "launch/trainer.hpp"

namespace lockstep {

struct Bubble {
  double measured = 0;   // 1 - mean time in actions / longest pass, over all ranks
  double simulated = 0;  // of the same actions, each as long as it took, with no time between ranks
  double forward = 0, backward = 0, weight = 0;  // seconds of an action, mean over stages
};

// Of the last step. Collective; the same on all ranks.
Bubble measure_bubble(const Trainer& trainer);

}  // namespace lockstep
