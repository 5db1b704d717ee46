#include "launch/stragglers.hpp"

#include <algorithm>
#include <vector>

namespace lockstep {

void Stragglers::begin() {
  began_ = Clock::now();
  waited_before_ = environment_.activity().waited_seconds();
}

void Stragglers::end() {
  const std::chrono::duration<double> passed = Clock::now() - began_;
  seconds_ += passed.count() - (environment_.activity().waited_seconds() - waited_before_);
  ++steps_;
}

std::optional<StragglerEvent> Stragglers::look(std::int64_t step) {
  if (steps_ < interval) return std::nullopt;
  std::vector<double> seconds(static_cast<std::size_t>(environment_.size()));
  seconds[static_cast<std::size_t>(environment_.rank())] = seconds_ / static_cast<double>(steps_);
  seconds_ = 0;
  steps_ = 0;
  Tensor all = Tensor::from(seconds, {static_cast<index_t>(seconds.size())});
  environment_.world().all_reduce(all, Reduce::sum, "control");
  seconds.assign(all.data<double>(), all.data<double>() + all.count());

  StragglerEvent event;
  event.step = step;
  const auto slowest = std::max_element(seconds.begin(), seconds.end());
  event.rank = static_cast<int>(slowest - seconds.begin());
  event.max_seconds = *slowest;
  std::nth_element(seconds.begin(), seconds.begin() + (environment_.size() - 1) / 2, seconds.end());
  event.median_seconds = seconds[static_cast<std::size_t>((environment_.size() - 1) / 2)];
  return event;
}

}  // namespace lockstep
