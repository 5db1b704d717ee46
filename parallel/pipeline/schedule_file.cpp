#include "parallel/pipeline/schedule_file.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/error.hpp"
#include "parallel/pipeline/check.hpp"

namespace lockstep {
namespace {

// Of all stages and microbatches: what a schedule by name may have too.
constexpr std::int64_t most_passes = 4'000'000;

// Each of the schedule's actions is on the rank that a placement gives its stage.
bool fits(const Schedule& schedule, Placement placement) {
  Schedule placed = schedule;
  placed.placement = placement;
  for (int rank = 0; rank < schedule.stages; ++rank) {
    for (const Action& a : schedule.actions[static_cast<std::size_t>(rank)]) {
      if (placed.rank_of(a.stage) != rank) return false;
    }
  }
  return true;
}

void read_lines(const std::string& text, Schedule& schedule) {
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    line = line.substr(0, line.find('#'));
    std::istringstream words(line);
    std::vector<Action> actions;
    for (std::string word; words >> word;) {
      try {
        actions.push_back(parse_action(word, static_cast<int>(schedule.actions.size())));
      } catch (const Error& error) {
        throw Error(build_string(schedule.name, " line ", number, ": ", error.what()));
      }
    }
    if (!actions.empty()) schedule.actions.push_back(std::move(actions));
  }
}

}  // namespace

Schedule parse_schedule(const std::string& text, const std::string& name) {
  Schedule schedule;
  schedule.name = name;
  schedule.actions.clear();
  read_lines(text, schedule);
  require(!schedule.actions.empty(), name, " holds no actions: write a line of them for each rank");
  schedule.stages = static_cast<int>(schedule.actions.size());
  int last_stage = 0, last_microbatch = 0;
  for (const std::vector<Action>& list : schedule.actions) {
    for (const Action& a : list) {
      last_stage = std::max(last_stage, a.stage);
      last_microbatch = std::max(last_microbatch, a.microbatch);
      schedule.splits_backward |= a.kind == Action::Kind::backward_weight;
    }
  }
  require(std::int64_t{last_stage} + 1 <= most_passes / (std::int64_t{last_microbatch} + 1), name,
          " numbers ", last_stage + 1, " virtual stages and ", last_microbatch + 1,
          " microbatches: stay below ", most_passes, " in all");
  require((last_stage + 1) % schedule.stages == 0, name, " has ", schedule.stages, " ranks and ",
          last_stage + 1, " virtual stages: every rank must hold as many as the others");
  schedule.virtual_stages = (last_stage + 1) / schedule.stages;
  schedule.microbatches = last_microbatch + 1;
  if (!fits(schedule, Placement::round) && schedule.virtual_stages == 2 &&
      fits(schedule, Placement::v)) {
    schedule.placement = Placement::v;
  }
  play(schedule);
  return schedule;
}

Schedule read_schedule(const std::string& path) {
  std::ifstream stream(path);
  require(stream.good() && !std::filesystem::is_directory(path), "--schedule-file ", path,
          ": cannot be read");
  std::ostringstream text;
  text << stream.rdbuf();
  return parse_schedule(text.str(), path);
}

}  // namespace lockstep
