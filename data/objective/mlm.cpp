#include "data/objective/mlm.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/objective/draws.hpp"

namespace lockstep {
namespace {

// Of 2^32: 0.8 and 0.9.
constexpr std::uint64_t below_is_mask = 3435973837u, below_is_kept = 3865470567u;

bool is_wrapped(const CorpusInfo& info) { return info.specials.cls && info.specials.sep; }

}  // namespace

MaskRule mask_rule(const CorpusInfo& info, double probability, std::uint64_t seed) {
  return {probability, seed,
          info.specials.mask.value_or(static_cast<std::int32_t>(info.vocab_size)),
          info.random_ids.first, info.random_ids.second};
}

void mask_tokens(Example& example, std::vector<std::int32_t> candidates, const MaskRule& rule) {
  // nearbyint rounds half to even, as Python's round.
  const double wanted =
      std::nearbyint(static_cast<double>(example.tokens.size()) * rule.probability);
  const std::size_t count =
      std::min(candidates.size(), static_cast<std::size_t>(std::max(wanted, 1.0)));
  const auto sample = static_cast<std::uint64_t>(example.sample);

  Draws position(rule.seed, "mask position", sample);
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(candidates[i], candidates[i + position.below(candidates.size() - i)]);
  }
  candidates.resize(count);
  std::sort(candidates.begin(), candidates.end());

  Draws kind(rule.seed, "mask kind", sample), random(rule.seed, "mask token", sample);
  const auto ids = static_cast<std::uint64_t>(rule.random_last - rule.random_first);
  for (std::int32_t at : candidates) {
    std::int32_t& token = example.tokens[static_cast<std::size_t>(at)];
    example.targets.push_back(token);
    const auto draw = static_cast<std::uint32_t>(kind());
    if (draw < below_is_mask) {
      token = rule.mask_id;
    } else if (draw >= below_is_kept) {
      token = rule.random_first + static_cast<std::int32_t>(random.below(ids));
    }
  }
  example.positions = std::move(candidates);
}

index_t mlm_text_length(const CorpusInfo& info, index_t T) { return is_wrapped(info) ? T - 2 : T; }

Example mlm_example(const Corpus& corpus,
                    int shard,
                    index_t first,
                    index_t count,
                    std::int64_t sample,
                    const MaskRule& rule) {
  const CorpusInfo& info = corpus.info();
  const std::size_t before = is_wrapped(info) ? 1 : 0;
  Example example;
  example.sample = sample;
  example.tokens.resize(static_cast<std::size_t>(count) + 2 * before);
  corpus.read(shard, first, count, example.tokens.data() + before);
  if (before > 0) {
    example.tokens.front() = *info.specials.cls;
    example.tokens.back() = *info.specials.sep;
  }
  std::vector<std::int32_t> candidates(static_cast<std::size_t>(count));
  std::iota(candidates.begin(), candidates.end(), static_cast<std::int32_t>(before));
  mask_tokens(example, std::move(candidates), rule);
  return example;
}

}  // namespace lockstep
