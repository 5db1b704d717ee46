// Parameters that several pp ranks use (the tied embedding: those of the first and the last stage):
// each holds the whole value and adds the gradients of its own uses, so the gradients are summed
// over these ranks. Any number of sets of ranks, overlapping or not.
#pragma once

#include <memory>
#include <vector>

#include "core/model/parameter_table.hpp"
#include "parallel/topology.hpp"

namespace lockstep {

class TiedSums {
 public:
  // Collective over the world. entries: this rank's, and the same rows in the same order on all
  // ranks of its place along pp.
  TiedSums(const std::vector<ParameterStore::Entry>& entries,
           const Topology& topology,
           const StageMap& stages);

  void sum();  // collective over each set

 private:
  struct SharedBy {
    std::vector<int> ranks;        // along pp
    std::unique_ptr<Group> group;  // null where this rank is not one of them
    std::vector<Tensor> gradients;
  };

  std::vector<SharedBy> sets_;
};

}  // namespace lockstep
