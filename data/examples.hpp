// Sample numbers to examples, for training (sampler, any number at once) and for validation (a walk
// in stored order). Immutable after construction: threads may share them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "data/corpus.hpp"
#include "data/loader.hpp"
#include "data/objective/example.hpp"
#include "data/objective/nsp.hpp"
#include "data/sampler.hpp"

namespace lockstep {

// One corpus of a run with its objective.
struct Source {
  std::unique_ptr<Corpus> corpus;
  MaskRule mask;
  std::optional<NspObjective> nsp;
};

class TrainingExamples {
 public:
  // Error (refused) when corpora have different tokenizers or one is too small for a window.
  explicit TrainingExamples(const LoaderConfig& config);

  Example at(std::uint64_t sample) const;
  std::int32_t pad_id() const;

 private:
  Objective objective_;
  index_t T_;
  std::vector<Source> sources_;
  std::optional<Sampler> sampler_;
};

class ValidationExamples {
 public:
  ValidationExamples(const LoaderConfig& config, index_t limit);  // 0: no limit

  index_t count() const { return static_cast<index_t>(places_.size()); }
  Example at(index_t sample) const;
  std::int32_t pad_id() const;

 private:
  // 16 bytes: a big split has many. `first` is a token, or a sentence of `document`.
  struct Place {
    std::uint16_t source = 0;
    std::uint16_t shard = 0;
    std::uint32_t document = 0;
    std::uint32_t first = 0, count = 0;
  };

  void walk_windows(std::uint16_t source, std::size_t limit);
  void walk_pairs(std::uint16_t source, std::size_t limit);

  Objective objective_;
  index_t T_;
  std::vector<Source> sources_;
  std::vector<Place> places_;
};

}  // namespace lockstep
