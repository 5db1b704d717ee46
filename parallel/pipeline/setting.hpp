// What the passes of one rank over a schedule share.
#pragma once

#include <algorithm>
#include <cassert>
#include <vector>

#include "core/group.hpp"
#include "core/model/stage.hpp"
#include "parallel/pipeline/action.hpp"
#include "parallel/pipeline/transfer.hpp"

namespace lockstep {

// Where each F and B stands in the list of its rank.
class ActionPlaces {
 public:
  explicit ActionPlaces(const Schedule& schedule) : stages_(schedule.all_stages()) {
    at_.resize(2 * static_cast<std::size_t>(stages_) *
               static_cast<std::size_t>(schedule.microbatches));
    for (const std::vector<Action>& list : schedule.actions) {
      for (std::size_t i = 0; i < list.size(); ++i) {
        const Action& a = list[i];
        if (a.kind != Action::Kind::backward_weight) at_[index(a.kind, a.stage, a.microbatch)] = i;
      }
    }
  }
  std::size_t of(Action::Kind kind, int stage, int microbatch) const {
    return at_[index(kind, stage, microbatch)];
  }

 private:
  std::size_t index(Action::Kind kind, int stage, int microbatch) const {
    const std::size_t pair =
        static_cast<std::size_t>(microbatch) * 2 + (kind == Action::Kind::forward ? 0u : 1u);
    return pair * static_cast<std::size_t>(stages_) + static_cast<std::size_t>(stage);
  }

  int stages_;
  std::vector<std::size_t> at_;
};

// What a rank needs besides the batches; lives as long as the runner.
struct PipelineSetting {
  const std::vector<Stage>& stages;  // this rank's
  Group& pp;
  const Schedule& schedule;
  const ActionPlaces& places;
  std::vector<int> numbers;  // the virtual stage that each of `stages` is

  int all() const { return schedule.all_stages(); }
  std::size_t local(int v) const {
    const auto found = std::find(numbers.begin(), numbers.end(), v);
    assert(found != numbers.end());
    return static_cast<std::size_t>(found - numbers.begin());
  }
  const Stage& stage(int v) const { return stages[local(v)]; }
  int peer(int v) const { return schedule.rank_of(v); }
  bool here(int v) const { return peer(v) == pp.rank(); }
  // border: between virtual stages border and border + 1.
  int tag(int border, int m, Direction direction) const {
    return transfer_tag(border, all() - 1, m, direction);
  }
};

}  // namespace lockstep
