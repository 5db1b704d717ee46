#include "launch/bubble.hpp"

#include <numeric>
#include <vector>

#include "parallel/pipeline/check.hpp"

namespace lockstep {
namespace {

constexpr index_t kinds = 3;

// Seconds of each action (kind, stage, microbatch), in the mean over the ranks that did it.
class ActionSeconds {
 public:
  explicit ActionSeconds(const Trainer& trainer)
      : schedule_(trainer.pipeline().schedule()),
        seconds_(
            Tensor::zeros({kinds, schedule_.all_stages(), schedule_.microbatches}, DType::f64)) {
    Group& world = trainer.topology().world();
    const double share = static_cast<double>(schedule_.stages) / world.size();
    for (const TimedAction& timed : trainer.pipeline().timeline())
      at(timed.action) += share * (timed.end - timed.begin);
    world.all_reduce(seconds_, Reduce::sum, "bubble");
  }

  std::vector<std::vector<double>> by_rank() {
    std::vector<std::vector<double>> lists;
    for (const std::vector<Action>& actions : schedule_.actions) {
      std::vector<double>& list = lists.emplace_back();
      for (const Action& action : actions) list.push_back(at(action));
    }
    return lists;
  }
  double sum(Action::Kind kind) const {
    const Tensor rows = seconds_.range(static_cast<index_t>(kind), 1);
    return std::accumulate(rows.data<double>(), rows.data<double>() + rows.count(), 0.0);
  }

 private:
  double& at(const Action& a) {
    const index_t row = static_cast<index_t>(a.kind) * schedule_.all_stages() + a.stage;
    return seconds_.data<double>()[row * schedule_.microbatches + a.microbatch];
  }

  const Schedule& schedule_;
  Tensor seconds_;
};

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
  ActionSeconds seconds(trainer);
  const double longest = longest_pass(trainer);
  const double number = schedule.all_stages() * schedule.microbatches;  // of each kind
  Bubble bubble;
  bubble.forward = seconds.sum(Action::Kind::forward) / number;
  bubble.backward = seconds.sum(Action::Kind::backward) / number;
  bubble.weight = seconds.sum(Action::Kind::backward_weight) / number;
  const double busy = number * (bubble.forward + bubble.backward + bubble.weight);
  if (longest > 0) bubble.measured = 1 - busy / schedule.stages / longest;
  bubble.simulated = play(schedule, seconds.by_rank()).bubble_fraction;
  return bubble;
}

}  // namespace lockstep
