#include "parallel/pipeline/check.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <iterator>
#include <numeric>
#include <optional>
#include <utility>

#include "core/error.hpp"

namespace lockstep {
namespace {

using Kind = Action::Kind;

constexpr double not_yet = -1;  // end of an action that has not run

// A number for each action a schedule can have: kind, virtual stage, microbatch.
class Numbering {
 public:
  explicit Numbering(const Schedule& schedule)
      : stages_(schedule.all_stages()), M_(schedule.microbatches) {}

  std::size_t count() const {
    return 3 * static_cast<std::size_t>(stages_) * static_cast<std::size_t>(M_);
  }
  std::size_t operator()(const Action& a) const {
    const auto row = static_cast<std::size_t>(static_cast<int>(a.kind) * stages_ + a.stage);
    return row * static_cast<std::size_t>(M_) + static_cast<std::size_t>(a.microbatch);
  }

 private:
  int stages_, M_;
};

std::string print(const Schedule& schedule, const Action& action) {
  return to_string(action, schedule.virtual_stages > 1);
}

// Each action is one the rank can run: its stage, its microbatch, a W only where the backward is
// split.
void check_action(const Schedule& schedule, int rank, const Action& a) {
  const bool known = a.stage >= 0 && a.stage < schedule.all_stages() && a.microbatch >= 0 &&
                     a.microbatch < schedule.microbatches;
  require(known, "schedule ", schedule.name, ": rank ", rank, " has ", to_string(a, true),
          ", but there are only ", schedule.all_stages(), " virtual stages and ",
          schedule.microbatches, " microbatches");
  require(schedule.rank_of(a.stage) == rank, "schedule ", schedule.name, ": rank ", rank, " has ",
          to_string(a, true), ", but rank ", schedule.rank_of(a.stage), " holds stage ", a.stage);
  require(schedule.splits_backward || a.kind != Kind::backward_weight, "schedule ", schedule.name,
          ": rank ", rank, " has ", print(schedule, a),
          ", but B is already the whole backward pass");
}

// Every action once, and the passes that add to a stage's weight gradients in microbatch order:
// sums have the same bits.
void check_complete(const Schedule& schedule) {
  const Numbering number(schedule);
  const Kind adds = schedule.splits_backward ? Kind::backward_weight : Kind::backward;
  std::vector<bool> seen(number.count());
  std::vector<int> next(
      static_cast<std::size_t>(schedule.all_stages()));  // microbatch whose gradient comes next
  for (int rank = 0; rank < schedule.stages; ++rank) {
    for (const Action& a : schedule.actions[static_cast<std::size_t>(rank)]) {
      check_action(schedule, rank, a);
      require(!seen[number(a)], "schedule ", schedule.name, ": rank ", rank, " has ",
              print(schedule, a), " twice");
      seen[number(a)] = true;
      if (a.kind != adds) continue;
      int& due = next[static_cast<std::size_t>(a.stage)];
      require(a.microbatch >= due, "schedule ", schedule.name, ": rank ", rank, " has ",
              print(schedule, a), " after ", print(schedule, {a.kind, a.stage, due - 1}),
              ": weight gradients are added in microbatch order");
      due = a.microbatch + 1;
    }
  }
  for (int stage = 0; stage < schedule.all_stages(); ++stage) {
    for (int m = 0; m < schedule.microbatches; ++m) {
      for (Kind kind : {Kind::forward, Kind::backward, Kind::backward_weight}) {
        const Action a{kind, stage, m};
        require(seen[number(a)] || (kind == Kind::backward_weight && !schedule.splits_backward),
                "schedule ", schedule.name, ": ", print(schedule, a), " is missing on rank ",
                schedule.rank_of(stage));
      }
    }
  }
}

// What an action waits for: at most two others.
struct Inputs {
  std::array<Action, 2> actions;
  std::size_t count = 0;

  void add(Kind kind, int stage, int microbatch) { actions[count++] = {kind, stage, microbatch}; }
};

Inputs inputs_of(const Action& a, int stages) {
  Inputs inputs;
  if (a.kind == Kind::forward) {
    if (a.stage > 0) inputs.add(Kind::forward, a.stage - 1, a.microbatch);
  } else if (a.kind == Kind::backward) {
    inputs.add(Kind::forward, a.stage, a.microbatch);
    if (a.stage + 1 < stages) inputs.add(Kind::backward, a.stage + 1, a.microbatch);
  } else {
    inputs.add(Kind::backward, a.stage, a.microbatch);
  }
  return inputs;
}

// [rank][position]
using Durations = std::vector<std::vector<double>>;

Durations durations_of(const Schedule& schedule, const std::vector<ActionTimes>& stage_times) {
  const auto duration = [&](const Action& a) {
    const ActionTimes& times = stage_times[static_cast<std::size_t>(a.stage)];
    if (a.kind == Kind::forward) return times.forward;
    if (a.kind == Kind::backward_weight) return times.weight;
    return schedule.splits_backward ? times.backward : times.backward + times.weight;
  };
  Durations durations;
  for (const std::vector<Action>& list : schedule.actions) {
    std::transform(list.begin(), list.end(), std::back_inserter(durations.emplace_back()),
                   duration);
  }
  return durations;
}

// Runs each rank's list as far as its inputs are there; whoever ends an action wakes the rank that
// waits for it. Time is counted in 1/V of the unit, so that times that are whole numbers stay exact
// for every V.
class Player {
 public:
  // times: in units of 1/V.
  Player(const Schedule& schedule, Durations times)
      : schedule_(schedule),
        times_(std::move(times)),
        number_(schedule),
        end_(number_.count(), not_yet),
        ranks_(static_cast<std::size_t>(schedule.stages)) {}

  Playback run() {
    for (int rank = schedule_.stages - 1; rank >= 0; --rank) awake_.push_back(rank);
    while (!awake_.empty()) {
      const int rank = awake_.back();
      awake_.pop_back();
      advance(rank);
    }
    for (int rank = 0; rank < schedule_.stages; ++rank) {
      if (ranks_[static_cast<std::size_t>(rank)].position < list(rank).size()) report_deadlock();
    }
    return result();
  }

 private:
  struct Rank {
    std::size_t position = 0;
    double clock = 0;
    int held = 0, peak = 0;
    std::vector<double> start;
  };

  const std::vector<Action>& list(int rank) const {
    return schedule_.actions[static_cast<std::size_t>(rank)];
  }

  // The first input of an action that is not there; `ready` becomes when the last of them was.
  std::optional<Action> missing(const Action& a, double& ready) const {
    const Inputs inputs = inputs_of(a, schedule_.all_stages());
    for (std::size_t i = 0; i < inputs.count; ++i) {
      const double end = end_[number_(inputs.actions[i])];
      if (end == not_yet) return inputs.actions[i];
      ready = std::max(ready, end);
    }
    return std::nullopt;
  }

  void advance(int rank) {
    Rank& r = ranks_[static_cast<std::size_t>(rank)];
    for (; r.position < list(rank).size(); ++r.position) {
      const Action& a = list(rank)[r.position];
      double begin = r.clock;
      if (missing(a, begin)) return;
      r.clock = begin + times_[static_cast<std::size_t>(rank)][r.position];
      end_[number_(a)] = r.clock;
      r.start.push_back(begin / schedule_.virtual_stages);
      hold(r, a.kind);
      wake(a);
    }
  }

  void wake(const Action& ended) {
    if (ended.kind == Kind::backward_weight) return;
    const int stage = ended.kind == Kind::forward ? ended.stage + 1 : ended.stage - 1;
    if (stage >= 0 && stage < schedule_.all_stages()) awake_.push_back(schedule_.rank_of(stage));
  }

  // An activation is held until the pass that reads it last is over.
  void hold(Rank& r, Kind kind) const {
    const Kind last = schedule_.splits_backward ? Kind::backward_weight : Kind::backward;
    if (kind == Kind::forward) r.peak = std::max(r.peak, ++r.held);
    if (kind == last) --r.held;
  }

  [[noreturn]] void report_deadlock() const {
    std::string waits;
    for (int rank = 0; rank < schedule_.stages; ++rank) {
      const std::size_t position = ranks_[static_cast<std::size_t>(rank)].position;
      if (position == list(rank).size()) continue;
      const Action& a = list(rank)[position];
      double ready = 0;
      const Action input = *missing(a, ready);
      const int holder = schedule_.rank_of(input.stage);
      waits += build_string(waits.empty() ? "" : "; ", "rank ", rank, " waits with ",
                            print(schedule_, a), " for ", print(schedule_, input), " of ",
                            holder == rank ? std::string("its own, which comes later")
                                           : build_string("rank ", holder));
    }
    throw Error(build_string("schedule ", schedule_.name, ": deadlock: ", waits));
  }

  Playback result() const {
    const double V = schedule_.virtual_stages;
    Playback playback;
    double end = 0;
    for (const Rank& r : ranks_) {
      end = std::max(end, r.clock);
      playback.peak_activations.push_back(r.peak / V);
      playback.start.push_back(r.start);
    }
    double work = 0;  // of a rank, in the mean
    for (const std::vector<double>& times : times_)
      work = std::accumulate(times.begin(), times.end(), work);
    work /= schedule_.stages;
    playback.makespan = end / V;
    playback.bubble_fraction = end == 0 ? 0 : 1 - work / end;
    return playback;
  }

  const Schedule& schedule_;
  Durations times_;
  Numbering number_;
  std::vector<double> end_;
  std::vector<Rank> ranks_;
  std::vector<int> awake_;  // ranks that may be able to go on
};

void check_lists(const Schedule& schedule) {
  require(static_cast<int>(schedule.actions.size()) == schedule.stages, "schedule ", schedule.name,
          " has ", schedule.actions.size(), " lists of actions for ", schedule.stages, " ranks");
  check_complete(schedule);
}

}  // namespace

Playback play(const Schedule& schedule, ActionTimes times) {
  const double work = times.forward + times.backward + times.weight;
  require(std::isfinite(work) && std::min({times.forward, times.backward, times.weight}) >= 0,
          "--times ", times.forward, ",", times.backward, ",", times.weight,
          ": give three numbers that are not negative");
  check_lists(schedule);
  const auto stages = static_cast<std::size_t>(schedule.all_stages());
  return Player(schedule, durations_of(schedule, std::vector<ActionTimes>(stages, times))).run();
}

Playback play(const Schedule& schedule, std::vector<ActionTimes> stage_times) {
  assert(static_cast<int>(stage_times.size()) == schedule.all_stages());
  check_lists(schedule);
  for (ActionTimes& times : stage_times) {
    times.forward *= schedule.virtual_stages;
    times.backward *= schedule.virtual_stages;
    times.weight *= schedule.virtual_stages;
  }
  return Player(schedule, durations_of(schedule, stage_times)).run();
}

Playback play(const Schedule& schedule, const std::vector<std::vector<double>>& times) {
  check_lists(schedule);
  Durations scaled = times;
  for (std::vector<double>& list : scaled) {
    for (double& time : list) time *= schedule.virtual_stages;
  }
  return Player(schedule, std::move(scaled)).run();
}

}  // namespace lockstep
