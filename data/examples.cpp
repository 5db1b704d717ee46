#include "data/examples.hpp"

#include <algorithm>
#include <limits>

#include "core/error.hpp"
#include "core/random.hpp"
#include "data/objective/causal.hpp"
#include "data/objective/mlm.hpp"

namespace lockstep {
namespace {

std::vector<Source> open_sources(const LoaderConfig& config, std::uint64_t seed, bool training) {
  require(!config.corpora.empty(),
          "--corpus is missing: name a directory that `lockstep corpus build` made");
  require(config.sequence_length >= 1, "--sequence-length ", config.sequence_length,
          " is not positive");
  const double p = config.mask_probability;
  require(config.objective == Objective::causal || (p > 0 && p <= 1), "--mask-probability ", p,
          " is not above 0 and at most 1");
  std::vector<Source> sources;
  for (const CorpusChoice& choice : config.corpora) {
    Source source;
    source.corpus = std::make_unique<Corpus>(choice.directory, choice.split);
    const CorpusInfo& info = source.corpus->info();
    const CorpusInfo& first = sources.empty() ? info : sources[0].corpus->info();
    require(info.tokenizer_sha256 == first.tokenizer_sha256, "--corpus ", choice.directory,
            " has a ", info.tokenizer_kind, " tokenizer of its own, ", first.directory,
            " another: build both with the same --tokenizer");
    source.mask = mask_rule(info, p, seed);
    if (config.objective == Objective::mlm) {
      require(mlm_text_length(info, config.sequence_length) >= 1, "--sequence-length ",
              config.sequence_length, " leaves no room between [CLS] and [SEP]: take at least 3");
    }
    if (config.objective == Objective::mlm_nsp) {
      source.nsp.emplace(*source.corpus, NspRule{config.sequence_length, seed, training});
      require(!training || source.corpus->num_documents() > 1, "corpus ", choice.directory,
              " has one document: next sentences are told from those of other documents, cut the "
              "text with --documents");
    }
    sources.push_back(std::move(source));
  }
  return sources;
}

std::vector<index_t> shard_tokens(const Corpus& corpus, bool with_sentences) {
  std::vector<index_t> tokens;
  for (int shard = 0; shard < corpus.num_shards(); ++shard) {
    const bool usable = !with_sentences || corpus.shard_sentences(shard) > 0;
    tokens.push_back(usable ? corpus.shard_tokens(shard) : 0);
  }
  return tokens;
}

WindowGrid make_grid(const Corpus& corpus, Objective objective, index_t T) {
  const index_t text = mlm_text_length(corpus.info(), T);
  switch (objective) {
    case Objective::causal:
      return {shard_tokens(corpus, false), T, T + 1};
    case Objective::mlm:
      return {shard_tokens(corpus, false), text, text};
    case Objective::mlm_nsp:
      return {shard_tokens(corpus, true), T - 3, 1};
  }
  return {};
}

std::int32_t pad_of(const std::vector<Source>& sources) {
  return sources[0].corpus->info().specials.pad.value_or(0);
}

}  // namespace

TrainingExamples::TrainingExamples(const LoaderConfig& config)
    : objective_(config.objective),
      T_(config.sequence_length),
      sources_(open_sources(config, config.seed, true)) {
  std::vector<WindowGrid> grids;
  std::vector<double> weights;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const Corpus& corpus = *sources_[i].corpus;
    grids.push_back(make_grid(corpus, objective_, T_));
    weights.push_back(config.corpora[i].weight);
    require(grids.back().count() > 0, "corpus ", corpus.info().directory, ": its split ",
            corpus.split(), " has ", corpus.num_tokens(),
            " tokens, less than one window of --sequence-length ", T_,
            " in any shard: take a shorter one or more text");
  }
  sampler_.emplace(config.seed, Blend(weights), std::move(grids));
}

Example TrainingExamples::at(std::uint64_t number) const {
  const Sampler::Sample sample = sampler_->sample(number);
  const Source& source = sources_[static_cast<std::size_t>(sample.corpus)];
  const auto [shard, token] = sample.place;
  const auto id = static_cast<std::int64_t>(number);
  switch (objective_) {
    case Objective::causal:
      return causal_example(*source.corpus, shard, token, T_, id);
    case Objective::mlm:
      return mlm_example(*source.corpus, shard, token, mlm_text_length(source.corpus->info(), T_),
                         id, source.mask);
    case Objective::mlm_nsp:
      return source.nsp->example_from(shard, token, id, source.mask);
  }
  return {};
}

std::int32_t TrainingExamples::pad_id() const { return pad_of(sources_); }

ValidationExamples::ValidationExamples(const LoaderConfig& config, index_t limit)
    : objective_(config.objective),
      T_(config.sequence_length),
      sources_(open_sources(config, hash_name("validation examples"), false)) {
  const std::size_t most =
      limit > 0 ? static_cast<std::size_t>(limit) : std::numeric_limits<std::size_t>::max();
  require(sources_.size() <= 65535, "more than 65535 validation corpora");
  for (std::size_t i = 0; i < sources_.size() && places_.size() < most; ++i) {
    require(sources_[i].corpus->num_shards() <= 65535, "corpus ", config.corpora[i].directory,
            " has more than 65535 shards: build it with a larger --shard-bytes");
    const auto source = static_cast<std::uint16_t>(i);
    if (objective_ == Objective::mlm_nsp) {
      walk_pairs(source, most);
    } else {
      walk_windows(source, most);
    }
  }
  require(!places_.empty(), "corpus ", config.corpora[0].directory, ": its split ",
          config.corpora[0].split, " is too short to validate on");
}

// Causal windows share their border token (the target of one, the input of the next), masked ones
// share none.
void ValidationExamples::walk_windows(std::uint16_t source, std::size_t limit) {
  const Corpus& corpus = *sources_[source].corpus;
  const bool causal = objective_ == Objective::causal;
  const index_t length = causal ? T_ : mlm_text_length(corpus.info(), T_);
  for (int shard = 0; shard < corpus.num_shards(); ++shard) {
    const index_t tokens = corpus.shard_tokens(shard) - (causal ? 1 : 0);
    for (index_t first = 0; first < tokens && places_.size() < limit; first += length) {
      places_.push_back({source, static_cast<std::uint16_t>(shard), 0,
                         static_cast<std::uint32_t>(first),
                         static_cast<std::uint32_t>(std::min(length, tokens - first))});
    }
  }
}

// Every sentence is in one A or in one B that follows; sentences that a random B displaced begin
// the next pair.
void ValidationExamples::walk_pairs(std::uint16_t source, std::size_t limit) {
  const Corpus& corpus = *sources_[source].corpus;
  for (int shard = 0; shard < corpus.num_shards(); ++shard) {
    for (index_t document = 0; document < corpus.shard_documents(shard); ++document) {
      const index_t sentences = corpus.num_sentences(shard, document);
      for (index_t sentence = 0; sentence < sentences && places_.size() < limit;) {
        const NspPair pair = sources_[source].nsp->pair(shard, document, sentence, places_.size());
        places_.push_back({source, static_cast<std::uint16_t>(shard),
                           static_cast<std::uint32_t>(document),
                           static_cast<std::uint32_t>(sentence), 0});
        sentence += pair.sentences_used;
      }
    }
  }
}

Example ValidationExamples::at(index_t sample) const {
  const Place& place = places_[static_cast<std::size_t>(sample)];
  const Source& source = sources_[place.source];
  switch (objective_) {
    case Objective::causal:
      return causal_example(*source.corpus, place.shard, place.first, place.count, sample);
    case Objective::mlm:
      return mlm_example(*source.corpus, place.shard, place.first, place.count, sample,
                         source.mask);
    case Objective::mlm_nsp:
      return source.nsp->example(place.shard, place.document, place.first, sample, source.mask);
  }
  return {};
}

std::int32_t ValidationExamples::pad_id() const { return pad_of(sources_); }

}  // namespace lockstep
