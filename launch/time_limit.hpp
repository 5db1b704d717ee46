// When a run must stop by itself: --time-limit, else the end of the Slurm job. It stops early
// enough for a step and a save, by what these have taken so far.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace lockstep {

// "90", "0.5", "02:00:00": seconds; nothing when the text is neither.
std::optional<double> parse_duration(const std::string& text);

class TimeLimit {
 public:
  // seconds: from now on; nothing: SLURM_JOB_END_TIME where it is set and lies ahead, else none.
  explicit TimeLimit(std::optional<double> seconds);

  void step_took(double seconds);
  void save_took(double seconds);
  bool near() const;

 private:
  using Clock = std::chrono::steady_clock;

  std::optional<Clock::time_point> end_;
  double longest_step_ = 0, longest_save_ = 0;
};

}  // namespace lockstep
