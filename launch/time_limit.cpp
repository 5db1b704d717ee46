#include "launch/time_limit.hpp"

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "launch/option_values.hpp"

namespace lockstep {
namespace {

// For what nobody has measured: ending MPI, the file system's bad days.
constexpr double spare_seconds = 5;

std::optional<double> seconds_to_job_end() {
  const char* text = std::getenv("SLURM_JOB_END_TIME");
  const auto end = text != nullptr ? parse_integer(text) : std::nullopt;
  if (!end) return std::nullopt;
  const double left = static_cast<double>(*end) - static_cast<double>(std::time(nullptr));
  return left > 0 ? std::optional<double>(left) : std::nullopt;
}

}  // namespace

std::optional<double> parse_duration(const std::string& text) {
  const std::size_t first = text.find(':');
  if (first == std::string::npos) {
    const auto seconds = parse_real(text);
    return seconds && *seconds > 0 && *seconds < 1e9 ? seconds : std::nullopt;
  }
  const std::size_t second = text.find(':', first + 1);
  if (second == std::string::npos) return std::nullopt;
  const auto hours = parse_integer(text.substr(0, first)),
             minutes = parse_integer(text.substr(first + 1, second - first - 1)),
             seconds = parse_integer(text.substr(second + 1));
  if (!hours || !minutes || !seconds || *hours < 0 || *hours > 100000 || *minutes < 0 ||
      *minutes > 59 || *seconds < 0 || *seconds > 59)
    return std::nullopt;
  const double total = static_cast<double>(*hours * 3600 + *minutes * 60 + *seconds);
  return total > 0 ? std::optional<double>(total) : std::nullopt;
}

TimeLimit::TimeLimit(std::optional<double> seconds) {
  if (!seconds) seconds = seconds_to_job_end();
  if (seconds)
    end_ = Clock::now() +
           std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*seconds));
}

void TimeLimit::step_took(double seconds) { longest_step_ = std::max(longest_step_, seconds); }
void TimeLimit::save_took(double seconds) { longest_save_ = std::max(longest_save_, seconds); }

bool TimeLimit::near() const {
  if (!end_) return false;
  const std::chrono::duration<double> left = *end_ - Clock::now();
  return left.count() < 2 * longest_step_ + 2 * longest_save_ + spare_seconds;
}

}  // namespace lockstep
