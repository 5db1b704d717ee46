// Plays a schedule without MPI: order, completeness, deadlock, makespan, bubble, peak activations (science of pipelines:
// docs/parallelism.md). Communication takes no time; F, B, W are the times of a whole rank's layers, a virtual stage takes 1/V.
#pragma once

#include <vector>

#include "parallel/pipeline/action.hpp"

namespace lockstep {

struct ActionTimes {
  double forward = 1, backward = 1, weight = 1;
};

struct Playback {
  double makespan = 0;
  double bubble_fraction = 0;             // 1 - M (F + B + W) / makespan
  std::vector<double> peak_activations;   // per rank, in stage-microbatches
  std::vector<std::vector<double>> start; // [rank][position] when each action begins
};

// Throws Error saying which action of which rank waits for which, is missing, or is there twice.
Playback play(const Schedule& schedule, ActionTimes times = {});

}  // namespace lockstep
