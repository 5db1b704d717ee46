#include "data/objective/nsp.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "data/objective/draws.hpp"

namespace lockstep {
namespace {

constexpr std::uint64_t half = std::uint64_t{1} << 31;  // of 2^32
constexpr std::uint64_t tenth = 429496730u;

}  // namespace

NspObjective::NspObjective(const Corpus& corpus, const NspRule& rule)
    : corpus_(corpus), rule_(rule) {
  const CorpusInfo& info = corpus.info();
  constexpr const char* cure =
      ": build it with `corpus build --sentences` and a WordPiece tokenizer, or take --objective "
      "mlm";
  require(info.has_sentences, "corpus ", info.directory,
          " has no sentences, --objective mlm-nsp needs them", cure);
  require(info.specials.cls && info.specials.sep && info.specials.mask, "corpus ", info.directory,
          ": its ", info.tokenizer_kind,
          " vocabulary lacks [CLS], [SEP] or [MASK], --objective mlm-nsp needs them", cure);
  require(rule.T >= 8, "--sequence-length ", rule.T,
          " is too short for two sentences: take at least 8");
  for (int shard = 0; shard < corpus.num_shards(); ++shard) {
    firsts_.push_back(firsts_.back() + corpus.shard_documents(shard));
  }
}

index_t NspObjective::text_end(int shard, index_t document) const {
  const index_t begin = corpus_.document_begin(shard, document),
                end = corpus_.document_end(shard, document);
  return end - (corpus_.eod_appended() && end > begin ? 1 : 0);
}

index_t NspObjective::boundary(int shard, index_t document, index_t sentence) const {
  const index_t end = text_end(shard, document);
  if (sentence >= corpus_.num_sentences(shard, document)) return end;
  return std::min(end, corpus_.sentence_begin(shard, document, sentence));
}

index_t NspObjective::target_length(std::uint64_t sample) const {
  const index_t longest = rule_.T - 3;
  Draws draws(rule_.seed, "nsp length", sample);
  if (!rule_.short_samples || !draws.chance(tenth)) return longest;
  return 2 + static_cast<index_t>(draws.below(static_cast<std::uint64_t>(longest - 1)));
}

// Uniform over the documents of the split that are not `own` and have sentences; gives up after ten
// empty ones.
bool NspObjective::random_document(std::uint64_t sample,
                                   index_t own,
                                   int& shard,
                                   index_t& document) const {
  constexpr int tries = 10;
  const index_t others = firsts_.back() - 1;
  if (others == 0) return false;
  Draws draws(rule_.seed, "nsp document", sample);
  for (int i = 0; i < tries; ++i) {
    auto found = static_cast<index_t>(draws.below(static_cast<std::uint64_t>(others)));
    if (found >= own) ++found;
    const auto after = std::upper_bound(firsts_.begin(), firsts_.end(), found);
    shard = static_cast<int>(after - firsts_.begin()) - 1;
    document = found - firsts_[static_cast<std::size_t>(shard)];
    if (corpus_.num_sentences(shard, document) > 0) return true;
  }
  return false;
}

// B from another document: from a random sentence on, whole sentences until `room` is filled.
bool NspObjective::take_random(NspPair& pair,
                               index_t own,
                               index_t room,
                               std::uint64_t sample) const {
  int shard = 0;
  index_t document = 0;
  if (!random_document(sample, own, shard, document)) return false;
  const index_t sentences = corpus_.num_sentences(shard, document);
  Draws draws(rule_.seed, "nsp sentence", sample);
  const auto first = static_cast<index_t>(draws.below(static_cast<std::uint64_t>(sentences)));
  pair.b = {shard, boundary(shard, document, first), 0};
  for (index_t next = first + 1; next <= sentences; ++next) {
    pair.b.end = boundary(shard, document, next);
    if (pair.b.size() >= room) break;
  }
  pair.label = 1;
  return true;
}

NspPair NspObjective::pair(int shard,
                           index_t document,
                           index_t sentence,
                           std::uint64_t sample) const {
  const index_t sentences = corpus_.num_sentences(shard, document);
  const index_t target = target_length(sample);
  const index_t begin = boundary(shard, document, sentence);
  index_t last = sentence + 1;  // one past the sentences taken
  while (last < sentences && boundary(shard, document, last) - begin < target) ++last;

  Draws draws(rule_.seed, "nsp pair", sample);
  const index_t taken = last - sentence;
  const index_t of_a =
      taken == 1 ? 1 : 1 + static_cast<index_t>(draws.below(static_cast<std::uint64_t>(taken - 1)));
  const bool wants_random = draws.chance(half) || taken == 1;
  NspPair pair;
  pair.a = {shard, begin, boundary(shard, document, sentence + of_a)};
  pair.sentences_used = of_a;
  const index_t own = firsts_[static_cast<std::size_t>(shard)] + document;
  if (wants_random && take_random(pair, own, target - pair.a.size(), sample)) return pair;

  // A sentence without another document to pair it with is cut in two: its second half does follow.
  if (taken == 1) pair.a.end = begin + (pair.a.size() + 1) / 2;
  pair.b = {shard, pair.a.end, boundary(shard, document, last)};
  pair.sentences_used = taken;
  return pair;
}

void NspObjective::truncate(NspPair& pair, std::uint64_t sample) const {
  Draws draws(rule_.seed, "nsp truncate", sample);
  // A sentence may be a whole book without a full stop: what is certain to go goes at once.
  for (TokenRun* span : {&pair.a, &pair.b}) {
    const index_t excess = span->size() - 2 * rule_.T;
    if (excess <= 0) continue;
    const auto front = static_cast<index_t>(draws.below(static_cast<std::uint64_t>(excess) + 1));
    span->begin += front;
    span->end -= excess - front;
  }
  while (pair.a.size() + pair.b.size() > rule_.T - 3) {
    TokenRun& longer = pair.a.size() > pair.b.size() ? pair.a : pair.b;
    if (draws.chance(half)) {
      ++longer.begin;
    } else {
      --longer.end;
    }
  }
}

Example NspObjective::example(int shard,
                              index_t document,
                              index_t sentence,
                              std::int64_t sample,
                              const MaskRule& mask) const {
  const auto number = static_cast<std::uint64_t>(sample);
  NspPair chosen = pair(shard, document, sentence, number);
  truncate(chosen, number);

  const SpecialIds& ids = corpus_.info().specials;
  Example example;
  example.sample = sample;
  example.label = chosen.label;
  std::vector<std::int32_t> candidates;
  example.tokens.push_back(*ids.cls);
  for (const TokenRun& span : {chosen.a, chosen.b}) {
    if (span.size() < 0) {
      fail("corpus ", corpus_.info().directory, ": the sentences of document ", document,
           " in shard ", shard, " are not in order: build the corpus again");
    }
    const std::size_t begin = example.tokens.size();
    example.tokens.resize(begin + static_cast<std::size_t>(span.size()));
    corpus_.read(span.shard, span.begin, span.size(), example.tokens.data() + begin);
    for (std::size_t i = begin; i < example.tokens.size(); ++i)
      candidates.push_back(static_cast<std::int32_t>(i));
    example.tokens.push_back(*ids.sep);
    example.segments.resize(example.tokens.size(), example.segments.empty() ? 0 : 1);
  }
  mask_tokens(example, std::move(candidates), mask);
  return example;
}

Example NspObjective::example_from(int shard,
                                   index_t token,
                                   std::int64_t sample,
                                   const MaskRule& mask) const {
  index_t found = corpus_.sentence_from(shard, token);
  if (found == corpus_.shard_sentences(shard)) found = 0;
  const auto [document, sentence] = corpus_.document_of_sentence(shard, found);
  return example(shard, document, sentence, sample, mask);
}

}  // namespace lockstep
