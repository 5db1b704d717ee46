#include "launch/bubble.hpp"

#include <algorithm>

#include "parallel/pipeline/check.hpp"

namespace lockstep {
namespace {

constexpr index_t kinds = 3;

// (stages, kinds): seconds and numbers of the actions of every stage, over all ranks.
struct Sums {
  Tensor seconds, counts;
};

Sums sum_actions(const Trainer& trainer, index_t stages) {
  Sums sums{Tensor::zeros({stages, kinds}, DType::f64), Tensor::zeros({stages, kinds}, DType::f64)};
  for (const TimedAction& timed : trainer.pipeline().timeline()) {
    const index_t at = timed.action.stage * kinds + static_cast<index_t>(timed.action.kind);
    sums.seconds.data<double>()[at] += timed.end - timed.begin;
    sums.counts.data<double>()[at] += 1;
  }
  Group& world = trainer.topology().world();
  world.all_reduce(sums.seconds, Reduce::sum, "bubble");
  world.all_reduce(sums.counts, Reduce::sum, "bubble");
  return sums;
}

double longest_pass(const Trainer& trainer) {
  const std::vector<TimedAction>& timeline = trainer.pipeline().timeline();
  const double own = timeline.empty() ? 0 : timeline.back().end - timeline.front().asked;
  Tensor longest = Tensor::from<double>({own}, {1});
  trainer.topology().world().all_reduce(longest, Reduce::max, "bubble");
  return longest.data<double>()[0];
}

}  // namespace

Bubble measure_bubble(const Trainer& trainer) {
  const Schedule& schedule = trainer.pipeline().schedule();
  const index_t stages = schedule.all_stages();
  const Sums sums = sum_actions(trainer, stages);
  const double longest = longest_pass(trainer);
  std::vector<ActionTimes> times;
  Bubble bubble;
  double busy = 0;
  for (index_t stage = 0; stage < stages; ++stage) {
    double mean[kinds] = {};
    for (index_t kind = 0; kind < kinds; ++kind) {
      const double seconds = sums.seconds.data<double>()[stage * kinds + kind];
      const double count = sums.counts.data<double>()[stage * kinds + kind];
      mean[kind] = count > 0 ? seconds / count : 0;
      busy += seconds;
    }
    times.push_back({mean[0], mean[1], mean[2]});
    bubble.forward += mean[0] / static_cast<double>(stages);
    bubble.backward += mean[1] / static_cast<double>(stages);
    bubble.weight += mean[2] / static_cast<double>(stages);
  }
  if (longest > 0) bubble.measured = 1 - busy / trainer.topology().world().size() / longest;
  bubble.simulated = play(schedule, std::move(times)).bubble_fraction;
  return bubble;
}

}  // namespace lockstep
