// Plays a schedule without MPI: order, completeness, deadlock, makespan, bubble, peak activations
// (science of pipelines: docs/parallelism.md). Communication takes no time; F, B, W are the times
// of a whole rank's layers, a virtual stage takes 1/V. Without a split backward an action B takes B
// + W. F(v, m) waits for F(v - 1, m); B(v, m) for F(v, m) and B(v + 1, m); W(v, m) for B(v, m).
#pragma once

#include <vector>

#include "parallel/pipeline/action.hpp"

namespace lockstep {

struct ActionTimes {
  double forward = 1, backward = 1, weight = 1;
};

struct Playback {
  double makespan = 0;
  double bubble_fraction = 0;            // 1 - M (F + B + W) / makespan
  std::vector<double> peak_activations;  // per rank, in stage-microbatches: held from F to W, or to
                                         // B where that is all
  std::vector<std::vector<double>> start;  // [rank][position] when each action begins
};

// Throws Error saying which action of which rank waits for which, is missing, is there twice, or
// adds to weight gradients out of microbatch order.
Playback play(const Schedule& schedule, ActionTimes times = {});
// With the times of each virtual stage itself; the bubble is 1 - mean work of a rank / makespan.
Playback play(const Schedule& schedule, std::vector<ActionTimes> stage_times);
// With the time of each action itself, [rank][position]; the bubble likewise.
Playback play(const Schedule& schedule, const std::vector<std::vector<double>>& times);

}  // namespace lockstep
