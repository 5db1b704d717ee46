// Parameters that several pipeline stages use (the tied embedding: first and last): each stage
// holds the whole value and adds the gradient of its own use, so the gradients are summed over the
// stages. Any number of sets of stages, overlapping or not.
#pragma once

#include <memory>
#include <vector>

#include "core/model/parameter_table.hpp"
#include "parallel/topology.hpp"

namespace lockstep {

// The stages that use a parameter, ascending, each once.
std::vector<int> stages_of(const ParameterRow& row, const std::vector<StageRange>& stages);

class TiedSums {
 public:
  // Collective over the world. entries: this rank's, and the same rows in the same order on all
  // ranks of its stage.
  TiedSums(const std::vector<ParameterStore::Entry>& entries,
           const Topology& topology,
           const std::vector<StageRange>& stages);

  void sum();  // collective over each set

 private:
  struct SharedBy {
    std::vector<int> stages;
    std::unique_ptr<Group> group;  // null where this stage is not one of them
    std::vector<Tensor> gradients;
  };

  std::vector<SharedBy> sets_;
};

}  // namespace lockstep
