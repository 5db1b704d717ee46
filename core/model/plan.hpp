// config -> the list of layers, and the cut of that list into pipeline stages by cost.
// Plan positions: 0 is the front, 1..L the layers, L+1 the head.
#pragma once

#include <string>
#include <vector>

#include "core/model/config.hpp"

namespace lockstep {

struct LayerSpec {
  enum class Kind { front, block, head };
  Kind kind = Kind::block;
  int stack = 0;
  index_t index = 0;  // global layer number of a block
  double cost = 0;    // relative forward time: multiply-adds per token
};

std::vector<LayerSpec> plan_layers(const ModelConfig& config, index_t sequence_length);

// Positions [first, last) of each of `stages` stages, contiguous, every stage with at least one
// block; the greatest cost of a stage is as small as possible, then cuts as early as possible.
// Throws Error when there are fewer layers than stages.
struct StageRange {
  index_t first = 0, last = 0;
  bool operator==(const StageRange&) const = default;
};
std::vector<StageRange> cut_stages(const std::vector<LayerSpec>& layers, int stages);

// Which pp rank holds which stages: one each, or several (virtual stages).
struct StageMap {
  std::vector<StageRange> ranges;  // in model order
  std::vector<int> ranks;          // of each stage

  StageMap() = default;
  StageMap(std::vector<StageRange> stages, std::vector<int> held_by);
  StageMap(std::vector<StageRange> one_a_rank);  // implicit: stage i is rank i's

  int num_ranks() const;
  std::vector<StageRange> of_rank(int rank) const;  // in model order
  // Ranks with a stage that holds one of these plan positions: ascending, each once.
  std::vector<int> ranks_with(const std::vector<index_t>& positions) const;
};

}  // namespace lockstep
