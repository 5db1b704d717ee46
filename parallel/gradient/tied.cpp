#include "parallel/gradient/tied.hpp"

#include <algorithm>

namespace lockstep {
namespace {

using Stages = std::vector<int>;

void add_once(std::vector<Stages>& sets, const Stages& set) {
  if (std::find(sets.begin(), sets.end(), set) == sets.end()) sets.push_back(set);
}

// (sets, pp) flags: 1 where a set has a stage.
Tensor to_flags(const std::vector<Stages>& sets, int num_stages) {
  Tensor flags = Tensor::zeros({static_cast<index_t>(sets.size()), num_stages}, DType::i32);
  for (std::size_t set = 0; set < sets.size(); ++set) {
    for (const int stage : sets[set]) {
      flags.data<std::int32_t>()[static_cast<index_t>(set) * num_stages + stage] = 1;
    }
  }
  return flags;
}

std::vector<Stages> from_flags(const Tensor& flags, int num_stages) {
  std::vector<Stages> sets;
  for (index_t set = 0; set < flags.rows(); ++set) {
    Stages stages;
    for (int stage = 0; stage < num_stages; ++stage) {
      if (flags.data<std::int32_t>()[set * num_stages + stage] != 0) stages.push_back(stage);
    }
    sets.push_back(std::move(stages));
  }
  return sets;
}

// The union over all stages, in the same order everywhere: a stage knows the sets of its own
// parameters only, but making groups is collective over the world.
std::vector<Stages> sets_of_all(const std::vector<Stages>& own, Group& pp) {
  std::vector<Stages> all;
  for (int stage = 0; stage < pp.size(); ++stage) {
    Tensor count = Tensor::from<std::int64_t>({static_cast<std::int64_t>(own.size())}, {1});
    pp.broadcast(count, stage, "stages");
    Tensor flags = pp.rank() == stage
                       ? to_flags(own, pp.size())
                       : Tensor::empty({count.data<std::int64_t>()[0], pp.size()}, DType::i32);
    pp.broadcast(flags, stage, "stages");
    for (const Stages& set : from_flags(flags, pp.size())) add_once(all, set);
  }
  return all;
}

}  // namespace

std::vector<int> stages_of(const ParameterRow& row, const std::vector<StageRange>& stages) {
  std::vector<int> users;
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    const auto inside = [&](index_t use) {
      return use >= stages[stage].first && use < stages[stage].last;
    };
    if (std::any_of(row.uses.begin(), row.uses.end(), inside)) {
      users.push_back(static_cast<int>(stage));
    }
  }
  return users;
}

TiedSums::TiedSums(const std::vector<ParameterStore::Entry>& entries,
                   const Topology& topology,
                   const std::vector<StageRange>& stages) {
  std::vector<Stages> own;
  for (const auto& entry : entries) {
    const Stages users = stages_of(*entry.row, stages);
    if (users.size() > 1) add_once(own, users);
  }
  for (Stages& set : sets_of_all(own, topology.pp())) {
    SharedBy shared{set, topology.stages_group(set), {}};
    for (const auto& entry : entries) {
      if (stages_of(*entry.row, stages) == set)
        shared.gradients.push_back(entry.parameter.gradient);
    }
    if (shared.group) sets_.push_back(std::move(shared));
  }
}

// All are started before any is waited for: a stage in two sets must not hold up one by the other.
void TiedSums::sum() {
  std::vector<Pending> pending;
  for (SharedBy& shared : sets_) {
    for (const Tensor& gradient : shared.gradients) {
      pending.push_back(shared.group->start_all_reduce(gradient, Reduce::sum, "tied"));
    }
  }
  for (Pending& sum : pending) sum.wait();
}

}  // namespace lockstep
