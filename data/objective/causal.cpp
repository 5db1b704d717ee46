#include "data/objective/causal.hpp"

#include <numeric>

namespace lockstep {

Example causal_example(const Corpus& corpus,
                       int shard,
                       index_t first,
                       index_t count,
                       std::int64_t sample) {
  Example example;
  example.sample = sample;
  example.tokens.resize(static_cast<std::size_t>(count) + 1);
  corpus.read(shard, first, count + 1, example.tokens.data());
  example.targets.assign(example.tokens.begin() + 1, example.tokens.end());
  example.tokens.pop_back();
  example.positions.resize(example.targets.size());
  std::iota(example.positions.begin(), example.positions.end(), 0);
  return example;
}

}  // namespace lockstep
