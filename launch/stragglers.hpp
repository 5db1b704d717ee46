// Which rank is slower than the others: what each computed, without what it waited, over the last
// steps. One small all-reduce every `interval` steps.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "launch/report.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

class Stragglers {
 public:
  static constexpr std::int64_t interval = 100;

  explicit Stragglers(const Environment& environment) : environment_(environment) {}

  // Around the work of a step.
  void begin();
  void end();
  // Collective, after `step`. A report at every interval-th step since the start.
  std::optional<StragglerEvent> look(std::int64_t step);

 private:
  using Clock = std::chrono::steady_clock;

  const Environment& environment_;
  Clock::time_point began_;
  double waited_before_ = 0;
  double seconds_ = 0;
  std::int64_t steps_ = 0;
};

}  // namespace lockstep
