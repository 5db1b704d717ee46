#include "parallel/pipeline/schedules.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/error.hpp"
#include "core/nearest.hpp"

namespace lockstep {
namespace {

using Kind = Action::Kind;

// Forwards and backwards of all virtual stages and microbatches together; about 100 MB of actions.
constexpr std::int64_t most_passes = 4'000'000;

std::vector<Action> gpipe(int rank, int, int M, int) {
  std::vector<Action> list;
  for (int m = 0; m < M; ++m) list.push_back({Kind::forward, rank, m});
  for (int m = 0; m < M; ++m) list.push_back({Kind::backward, rank, m});
  return list;
}

std::vector<Action> one_f_one_b(int rank, int P, int M, int) {
  std::vector<Action> list;
  const int warm_up = std::min(P - 1 - rank, M);
  for (int m = 0; m < warm_up; ++m) list.push_back({Kind::forward, rank, m});
  for (int m = 0; m < M; ++m) {
    if (m + warm_up < M) list.push_back({Kind::forward, rank, m + warm_up});
    list.push_back({Kind::backward, rank, m});
  }
  return list;
}

// The k-th pass of a rank: P microbatches of its first virtual stage, the same P of its second,
// ..., then the next P.
std::vector<Action> interleaved(int rank, int P, int M, int V) {
  std::vector<Action> list;
  const auto add = [&](Kind kind, int k) {
    const int turn = k / P % V;
    const int local = kind == Kind::forward ? turn : V - 1 - turn;
    list.push_back({kind, local * P + rank, k / (P * V) * P + k % P});
  };
  const int all = M * V;
  const int warm_up = std::min(2 * (P - 1 - rank) + (V - 1) * P, all);
  for (int k = 0; k < warm_up; ++k) add(Kind::forward, k);
  for (int k = 0; k < all; ++k) {
    if (k + warm_up < all) add(Kind::forward, k + warm_up);
    add(Kind::backward, k);
  }
  return list;
}

// Rank r holds P - r microbatches from F to B, as 1f1b does, and r more from B to W: P everywhere.
std::vector<Action> zb_h1(int rank, int P, int M, int) {
  std::vector<Action> list;
  const int warm_up = std::min(P - 1 - rank, M);
  for (int m = 0; m < warm_up; ++m) list.push_back({Kind::forward, rank, m});
  for (int m = 0; m < M; ++m) {
    if (m + warm_up < M) list.push_back({Kind::forward, rank, m + warm_up});
    list.push_back({Kind::backward, rank, m});
    if (m >= rank) list.push_back({Kind::backward_weight, rank, m - rank});
  }
  for (int m = std::max(0, M - rank); m < M; ++m) list.push_back({Kind::backward_weight, rank, m});
  return list;
}

// Virtual stage `down` = r is on the way to the last rank, `up` = 2P - 1 - r on the way back. The
// warm-up is as long as it takes microbatch 0 to come back, so that afterwards every rank always
// has its next input.
std::vector<Action> zb_v(int rank, int P, int M, int) {
  enum Leg { down, up };
  std::vector<Action> list;
  const std::array<int, 2> stages = {rank, 2 * P - 1 - rank};
  std::array<int, 2> forwards{}, backwards{}, weights{};
  const auto F = [&](Leg leg) {
    if (forwards[leg] < M) list.push_back({Kind::forward, stages[leg], forwards[leg]++});
  };
  const auto B = [&](Leg leg) { list.push_back({Kind::backward, stages[leg], backwards[leg]++}); };
  const auto W = [&](Leg leg) {
    list.push_back({Kind::backward_weight, stages[leg], weights[leg]++});
  };

  for (int i = 0; i < 2 * (P - rank) - 1; ++i) F(down);
  for (int i = 0; i < rank; ++i) F(up), F(down);
  for (int i = 0; i < P - rank; ++i) F(up), B(up), W(up);
  while (forwards[up] < M) {
    F(down);
    B(down), W(down);
    F(up), B(up), W(up);
  }
  for (int i = 0; i < rank; ++i) B(down), B(up);
  while (backwards[down] < M) B(down), W(down);
  while (weights[up] < M) W(up);
  while (weights[down] < M) W(down);
  return list;
}

struct Row {
  const char* name;
  std::vector<Action> (*make)(int rank, int P, int M, int V);
  int virtual_stages;  // of its own; interleaved takes any other number above 1 too
  bool splits_backward;
  Placement placement;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {"gpipe", gpipe, 1, false, Placement::round},
      {"1f1b", one_f_one_b, 1, false, Placement::round},
      {"interleaved", interleaved, 2, false, Placement::round},
      {"zb-h1", zb_h1, 1, true, Placement::round},
      {"zb-v", zb_v, 2, true, Placement::v},
  };
  return table;
}

const Row* find_row(const std::string& name) {
  const auto row =
      std::find_if(rows().begin(), rows().end(), [&](const Row& r) { return name == r.name; });
  return row == rows().end() ? nullptr : &*row;
}

void check_virtual_stages(const Row& row, int V) {
  const std::string name = row.name;
  if (name == "interleaved") {
    require(V >= 1, "--virtual-stages ", V, " is not possible: give 2 or more");
  } else {
    require(V == row.virtual_stages, "--virtual-stages ", V, " does not go with --schedule ", name,
            ", which has ", row.virtual_stages,
            " per rank: leave it out, or choose --schedule interleaved");
  }
}

void check_sizes(const std::string& name, int P, int M, int V) {
  require(P >= 1, "a pipeline of ", P, " stages is not possible: give 1 or more");
  require(M >= 1, M, " microbatches are not possible: give 1 or more");
  require(std::int64_t{V} * P <= most_passes / M, P, " stages x ", V, " virtual stages x ", M,
          " microbatches are too many to schedule: stay below ", most_passes, " in all");
  require(name != "interleaved" || M % P == 0,
          "--schedule interleaved needs a number of microbatches divisible by the ", P,
          " stages, not ", M, ": change the batch sizes, or choose --schedule 1f1b");
  require(name != "zb-v" || M >= 2 * P, "--schedule zb-v needs at least ", 2 * P,
          " microbatches for ", P, " stages, not ", M,
          ": make microbatches smaller, or choose --schedule zb-h1");
}

}  // namespace

const std::vector<std::string>& schedule_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Row& row : rows()) all.push_back(row.name);
    return all;
  }();
  return names;
}

Schedule make_schedule(const std::string& name, int stages, int microbatches, int virtual_stages) {
  const Row* row = find_row(name);
  require(row != nullptr, "--schedule ", name, " is not known: did you mean ",
          nearest(name, schedule_names()), "?");
  const int V = virtual_stages == 0 ? row->virtual_stages : virtual_stages;
  check_virtual_stages(*row, V);
  check_sizes(name, stages, microbatches, V);
  Schedule schedule{.name = name,
                    .stages = stages,
                    .virtual_stages = V,
                    .microbatches = microbatches,
                    .splits_backward = row->splits_backward,
                    .actions = {},
                    .placement = row->placement};
  for (int rank = 0; rank < stages; ++rank) {
    schedule.actions.push_back(row->make(rank, stages, microbatches, V));
  }
  return schedule;
}

}  // namespace lockstep
