#include "parallel/pipeline/show.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/error.hpp"

namespace lockstep {
namespace {

constexpr double largest_grid = 4e6;  // characters

std::string print(const Schedule& schedule, const Action& action) {
  return to_string(action, schedule.virtual_stages > 1);
}

// Time an action takes, in the unit of ActionTimes.
double duration(const Schedule& schedule, ActionTimes times, Action::Kind kind) {
  double whole = schedule.splits_backward ? times.backward : times.backward + times.weight;
  if (kind == Action::Kind::forward) whole = times.forward;
  if (kind == Action::Kind::backward_weight) whole = times.weight;
  return whole / schedule.virtual_stages;
}

// The scale of the grid: the shortest action is as wide as the longest label and a blank.
struct Scale {
  double unit = 0;  // time of the shortest action that takes any
  std::size_t width = 0;

  std::size_t column(double time) const {
    if (unit == 0) return 0;
    // Without the nudge a start that is one rounding error early falls into the column before.
    return static_cast<std::size_t>(time / unit * static_cast<double>(width) + 1e-6);
  }
};

Scale scale_of(const Schedule& schedule, ActionTimes times) {
  Scale scale;
  for (const auto& actions : schedule.actions) {
    for (const Action& a : actions) {
      const double time = duration(schedule, times, a.kind);
      if (time > 0 && (scale.unit == 0 || time < scale.unit)) scale.unit = time;
      scale.width = std::max(scale.width, print(schedule, a).size() + 1);
    }
  }
  return scale;
}

std::string row(const Schedule& schedule,
                const Playback& playback,
                ActionTimes times,
                const Scale& scale,
                std::size_t rank) {
  std::string line;
  for (std::size_t i = 0; i < schedule.actions[rank].size(); ++i) {
    const Action& a = schedule.actions[rank][i];
    const double begin = playback.start[rank][i];
    const std::size_t from = scale.column(begin),
                      to = scale.column(begin + duration(schedule, times, a.kind));
    if (line.size() < from) line += std::string(from - line.size() - 1, '.') + ' ';
    line += print(schedule, a);
    if (line.size() + 1 < to) line.append(to - 1 - line.size(), '-');
    line += ' ';
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

std::string grid(const Schedule& schedule, const Playback& playback, ActionTimes times) {
  const Scale scale = scale_of(schedule, times);
  const double columns =
      scale.unit == 0 ? 0 : playback.makespan / scale.unit * static_cast<double>(scale.width);
  if (columns * schedule.stages > largest_grid)
    return "the grid is too large to show: see --json\n";
  std::string text;
  const std::size_t digits = std::to_string(schedule.stages - 1).size();
  for (std::size_t rank = 0; rank < schedule.actions.size(); ++rank) {
    const std::string number = std::to_string(rank);
    text += "rank " + std::string(digits - number.size(), ' ') + number + "  " +
            row(schedule, playback, times, scale, rank) + '\n';
  }
  return text;
}

}  // namespace

std::string show_text(const Schedule& schedule, ActionTimes times) {
  const Playback playback = play(schedule, times);
  std::string peaks;
  for (double peak : playback.peak_activations) peaks += build_string(' ', peak);
  return grid(schedule, playback, times) +
         build_string("makespan ", playback.makespan, "\nbubble fraction ",
                      playback.bubble_fraction, "\npeak activations", peaks,
                      "  (stage-microbatches, by rank)\n");
}

std::string show_json(const Schedule& schedule, ActionTimes times) {
  const Playback playback = play(schedule, times);
  nlohmann::ordered_json actions = nlohmann::ordered_json::array();
  for (const auto& list : schedule.actions) {
    nlohmann::ordered_json printed = nlohmann::ordered_json::array();
    for (const Action& a : list) printed.push_back(print(schedule, a));
    actions.push_back(std::move(printed));
  }
  nlohmann::ordered_json shown;
  shown["makespan"] = playback.makespan;
  shown["bubble_fraction"] = playback.bubble_fraction;
  shown["peak_activations"] = playback.peak_activations;
  shown["actions"] = std::move(actions);
  return shown.dump() + '\n';
}

}  // namespace lockstep
