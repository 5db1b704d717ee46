// Which window of which corpus the global sample number g is: a pure function, O(shards) memory,
// any step at once.
//   blend:  c = table[g % P], j = (g / P) * count[c] + rank[g % P]; exact ratios every P = 65536
//   samples epoch:  e = j / n_c, w = permutation keyed (seed, c, e) of j % n_c window: token off_e
//   + k * stride of a shard; off_e moves the window borders from epoch to epoch
#pragma once

#include <cstdint>
#include <vector>

#include "core/dtype.hpp"

namespace lockstep {

// A grid of windows over the shards of one corpus: `length` tokens each, one every `stride`, none
// across two shards. Every epoch has the same number of windows, that of the largest offset.
class WindowGrid {
 public:
  struct Place {
    int shard = 0;
    index_t token = 0;
  };

  WindowGrid() = default;
  WindowGrid(const std::vector<index_t>& shard_tokens, index_t stride, index_t length);

  std::uint64_t count() const { return firsts_.back(); }
  // Window `window` of an epoch, whose key gives the offset.
  Place place(std::uint64_t window, std::uint64_t epoch_key) const;

 private:
  index_t stride_ = 1, length_ = 1;
  std::vector<index_t> shard_tokens_;
  std::vector<std::uint64_t> firsts_{0};  // windows before each shard, then all
};

// Corpora mixed by weight. Entry t of the table is the corpus furthest behind its share: argmax of
// w_i * max(t, 1) - count_i.
class Blend {
 public:
  static constexpr std::uint64_t longest_period = 65536;

  struct Choice {
    int corpus = 0;
    std::uint64_t index = 0;  // how many samples of this corpus came before
  };

  explicit Blend(const std::vector<double>& weights);

  Choice choose(std::uint64_t sample) const;
  std::uint64_t period() const { return table_.size(); }
  std::uint64_t count(int corpus) const {
    return counts_[static_cast<std::size_t>(corpus)];
  }  // in a period

 private:
  std::vector<std::uint16_t> table_;
  std::vector<std::uint32_t> ranks_;  // earlier entries of the same corpus
  std::vector<std::uint64_t> counts_;
};

class Sampler {
 public:
  struct Sample {
    int corpus = 0;
    std::uint64_t epoch = 0;
    std::uint64_t window = 0;  // of the epoch's grid
    WindowGrid::Place place;
  };

  Sampler(std::uint64_t seed, Blend blend, std::vector<WindowGrid> grids);

  Sample sample(std::uint64_t number) const;
  const WindowGrid& grid(int corpus) const { return grids_[static_cast<std::size_t>(corpus)]; }

 private:
  std::uint64_t seed_;
  Blend blend_;
  std::vector<WindowGrid> grids_;
};

}  // namespace lockstep
