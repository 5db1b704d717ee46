// Memory of a rank by what it is for: predicted from the configuration before the first step, and
// as it was. Parameters, gradients, optimizer, snapshot and activations are exact sums of sizes;
// workspace is an estimate of the largest moment inside a pass.
#pragma once

#include <string>
#include <vector>

#include "launch/trainer.hpp"

namespace lockstep {

// Bytes.
struct MemoryParts {
  double parameters = 0;
  double gradients = 0;    // reproducible mode: also those of the shard tree
  double optimizer = 0;    // the moments
  double snapshot = 0;     // what an asynchronous save writes from
  double activations = 0;  // kept between passes, at most
  double workspace = 0;    // all other tensors: inside passes, under way, batches

  double total() const;
};

// What a trainer does not know of its run.
struct MemoryFacts {
  index_t microbatch_size = 0;
  double rows_share = 1;       // of the positions that have a row, padding having none
  double predicted_share = 1;  // of the rows, by the head: 1, or --mask-probability
  bool snapshot = false;
};

// Of a rank with cp rank 0.
MemoryParts predict_memory(const TrainerConfig& config,
                           const MemoryFacts& facts,
                           int pp_rank,
                           int tp_rank);
// This rank's, after a step; workspace from the most that tensors ever took.
MemoryParts measure_memory(const Trainer& trainer, const MemoryFacts& facts);

// Per pp rank, the most of any of its ranks, part by part. Collective; the same on all ranks.
struct StageMemory {
  MemoryParts predicted, measured;
};
std::vector<StageMemory> memory_by_stage(const Trainer& trainer,
                                         const MemoryParts& predicted,
                                         const MemoryParts& measured);

std::string memory_text(const MemoryParts& parts);  // "2.41 GB: parameters 0.50, ..."

}  // namespace lockstep
