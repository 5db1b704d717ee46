#include "parallel/gradient/tied.hpp"

#include <algorithm>

namespace lockstep {
namespace {

using Ranks = std::vector<int>;  // along pp

void add_once(std::vector<Ranks>& sets, const Ranks& set) {
  if (std::find(sets.begin(), sets.end(), set) == sets.end()) sets.push_back(set);
}

// (sets, pp) flags: 1 where a set has a rank.
Tensor to_flags(const std::vector<Ranks>& sets, int num_ranks) {
  Tensor flags = Tensor::zeros({static_cast<index_t>(sets.size()), num_ranks}, DType::i32);
  for (std::size_t set = 0; set < sets.size(); ++set) {
    for (const int rank : sets[set]) {
      flags.data<std::int32_t>()[static_cast<index_t>(set) * num_ranks + rank] = 1;
    }
  }
  return flags;
}

std::vector<Ranks> from_flags(const Tensor& flags, int num_ranks) {
  std::vector<Ranks> sets;
  for (index_t set = 0; set < flags.rows(); ++set) {
    Ranks ranks;
    for (int rank = 0; rank < num_ranks; ++rank) {
      if (flags.data<std::int32_t>()[set * num_ranks + rank] != 0) ranks.push_back(rank);
    }
    sets.push_back(std::move(ranks));
  }
  return sets;
}

// The union over all ranks, in the same order everywhere: a rank knows the sets of its own
// parameters only, but making groups is collective over the world.
std::vector<Ranks> sets_of_all(const std::vector<Ranks>& own, Group& pp) {
  std::vector<Ranks> all;
  for (int root = 0; root < pp.size(); ++root) {
    Tensor count = Tensor::from<std::int64_t>({static_cast<std::int64_t>(own.size())}, {1});
    pp.broadcast(count, root, "stages");
    Tensor flags = pp.rank() == root
                       ? to_flags(own, pp.size())
                       : Tensor::empty({count.data<std::int64_t>()[0], pp.size()}, DType::i32);
    pp.broadcast(flags, root, "stages");
    for (const Ranks& set : from_flags(flags, pp.size())) add_once(all, set);
  }
  return all;
}

}  // namespace

TiedSums::TiedSums(const std::vector<ParameterStore::Entry>& entries,
                   const Topology& topology,
                   const StageMap& stages) {
  std::vector<Ranks> own;
  for (const auto& entry : entries) {
    const Ranks users = stages.ranks_with(entry.row->uses);
    if (users.size() > 1) add_once(own, users);
  }
  for (Ranks& set : sets_of_all(own, topology.pp())) {
    SharedBy shared{set, topology.stages_group(set), {}};
    for (const auto& entry : entries) {
      if (stages.ranks_with(entry.row->uses) == set)
        shared.gradients.push_back(entry.parameter.gradient);
    }
    if (shared.group) sets_.push_back(std::move(shared));
  }
}

// All are started before any is waited for: a rank in two sets must not hold up one by the other.
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
