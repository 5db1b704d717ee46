// The steps of the commit protocol (checkpoint.hpp), apart: those that talk to other ranks, those
// that only touch the disk and so may run in a thread of their own, and the commit of world rank 0.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "parallel/checkpoint/checkpoint.hpp"
#include "parallel/checkpoint/manifest.hpp"
#include "parallel/tensor/shard_plan.hpp"

namespace lockstep::checkpoint {

// What a rank writes from: flat host memory whose element 0 is element `first` of the rank's flat
// buffer.
struct Snapshot {
  index_t first = 0;
  Tensor weight, m, v;
};

// What this rank alone writes. Collective over pp.
std::vector<Piece> owned_pieces(const Topology& topology, const ParameterStore& store);

// World rank 0 alone. Makes DIR/checkpoints where it is not there, and the temporary directory.
void make_directories(const std::string& checkpoints, const std::string& temporary);

// This rank's file, synced, and its part of the tile table; nothing without pieces.
Manifest write_rank_file(const std::string& directory,
                         int world_rank,
                         const std::vector<Piece>& pieces,
                         const Snapshot& snapshot);

// World rank 0 alone: manifest, then the rename that makes it a checkpoint. before_rename throws
// when the commit must not be.
void commit(const std::vector<std::string>& parts,
            const CheckpointMeta& meta,
            const std::string& temporary,
            const std::string& final_path,
            const std::function<void()>& before_rename);

}  // namespace lockstep::checkpoint
