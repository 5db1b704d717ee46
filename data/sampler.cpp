#include "data/sampler.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/random.hpp"
#include "data/permutation.hpp"

namespace lockstep {

WindowGrid::WindowGrid(const std::vector<index_t>& shard_tokens, index_t stride, index_t length)
    : stride_(stride), length_(length), shard_tokens_(shard_tokens) {
  for (index_t tokens : shard_tokens) {
    // A shard too short for the largest offset still has one window, with as much offset as it
    // allows.
    const index_t room = tokens - length;
    const index_t windows = room < 0 ? 0 : std::max<index_t>(1, (room + 1) / stride);
    firsts_.push_back(firsts_.back() + static_cast<std::uint64_t>(windows));
  }
}

WindowGrid::Place WindowGrid::place(std::uint64_t window, std::uint64_t epoch_key) const {
  const auto after = std::upper_bound(firsts_.begin(), firsts_.end(), window);
  const auto shard = static_cast<std::size_t>(after - firsts_.begin()) - 1;
  const auto windows = static_cast<index_t>(firsts_[shard + 1] - firsts_[shard]);
  const index_t offsets =
      std::min(stride_, shard_tokens_[shard] - length_ - (windows - 1) * stride_ + 1);
  const auto offset =
      static_cast<index_t>((static_cast<Wide>(epoch_key) * static_cast<Wide>(offsets)) >> 64);
  return {static_cast<int>(shard),
          offset + static_cast<index_t>(window - firsts_[shard]) * stride_};
}

Blend::Blend(const std::vector<double>& weights) : counts_(weights.size(), 0) {
  double sum = 0;
  for (double weight : weights) {
    require(std::isfinite(weight) && weight > 0, "--corpus DIR:", weight,
            ": a weight is a positive number");
    sum += weight;
  }
  const std::uint64_t period = weights.size() == 1 ? 1 : longest_period;
  for (std::uint64_t t = 0; t < period; ++t) {
    std::size_t best = 0;
    double most_behind = -1;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double behind = weights[i] / sum * static_cast<double>(std::max<std::uint64_t>(t, 1)) -
                            static_cast<double>(counts_[i]);
      if (i == 0 || behind > most_behind) {
        best = i;
        most_behind = behind;
      }
    }
    table_.push_back(static_cast<std::uint16_t>(best));
    ranks_.push_back(static_cast<std::uint32_t>(counts_[best]++));
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    require(weights[i] / sum * static_cast<double>(period) >= 1, "--corpus DIR:", weights[i],
            " is less than one sample in ", period,
            " of the blend: raise its weight or leave it out");
  }
}

Blend::Choice Blend::choose(std::uint64_t sample) const {
  const std::uint64_t period = table_.size();
  const auto entry = static_cast<std::size_t>(sample % period);
  const std::uint16_t corpus = table_[entry];
  return {corpus, sample / period * counts_[corpus] + ranks_[entry]};
}

Sampler::Sampler(std::uint64_t seed, Blend blend, std::vector<WindowGrid> grids)
    : seed_(seed), blend_(std::move(blend)), grids_(std::move(grids)) {
  for (const WindowGrid& grid : grids_)
    require(grid.count() > 0, "a corpus is shorter than one --sequence-length");
}

Sampler::Sample Sampler::sample(std::uint64_t number) const {
  const Blend::Choice choice = blend_.choose(number);
  const WindowGrid& grid = grids_[static_cast<std::size_t>(choice.corpus)];
  Sample sample;
  sample.corpus = choice.corpus;
  sample.epoch = choice.index / grid.count();
  const std::uint64_t key = mix(mix(seed_, hash_name("epoch")),
                                mix(static_cast<std::uint64_t>(choice.corpus), sample.epoch));
  sample.window = Permutation(grid.count(), key)(choice.index % grid.count());
  sample.place = grid.place(sample.window, mix(key, hash_name("offset")));
  return sample;
}

}  // namespace lockstep
