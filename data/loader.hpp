// From a global step number to this rank's microbatches: sampler + objective, one step ahead in a
// thread of its own. Sees ranks and degrees of dp and cp as ints. Everything is a function of
// (seed, global sample number): no state but the step.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/model/batch.hpp"
#include "core/model/config.hpp"
#include "data/batch_ramp.hpp"

namespace lockstep {

struct CorpusChoice {
  std::string directory;
  double weight = 1;
  std::string split = "train";
};

struct LoaderConfig {
  std::vector<CorpusChoice> corpora;
  Objective objective = Objective::causal;
  index_t sequence_length = 0;
  index_t global_batch_size = 0, microbatch_size = 0;
  index_t ramp_start = 0;       // sequences of step 1; 0: all steps are whole
  std::int64_t ramp_steps = 0;  // see data/batch_ramp.hpp
  double mask_probability = 0.15;
  std::uint64_t seed = 0;
  int prefetch = 2;  // steps ahead; 0: in the caller's thread
  int dp_rank = 0, dp_degree = 1;
  int cp_rank = 0, cp_degree = 1;  // of the ranks that share each sequence
  // Microbatches without rows of padding (core/model/unpad.hpp), the number of rows a multiple of
  // row_multiple; needs cp_degree 1.
  bool unpadded = false;
  index_t row_multiple = 1;
};

// The sizes of a run's global batches.
BatchRamp ramp_of(const LoaderConfig& config);

class Loader {
 public:
  explicit Loader(
      const LoaderConfig& config);  // opens the corpora; Error (refused) naming directory and file
  ~Loader();

  // The batch of `step` (1 is the first). Steps are asked for in order after the first call. Throws
  // Error (failed) for damaged data.
  StepBatch next(std::int64_t step);
  double wait_seconds() const;  // what the last next() waited for data

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// A fixed walk over a split for validation and eval: every token once, in storage order,
// non-overlapping windows (the last may be shorter: padding with lengths), with masks and pairs
// from a fixed seed of their own: identical at every call and on every layout. `sequences` limits
// it to the first n samples (0: all). Samples are dealt in global microbatches; this rank gets its
// part.
class ValidationLoader {
 public:
  ValidationLoader(const LoaderConfig& config, index_t sequences);
  ~ValidationLoader();

  index_t num_samples() const;
  // Microbatches of all ranks in order are num_microbatches() long, the same number on each dp
  // rank; trailing ones may be empty (B = 0).
  index_t num_microbatches() const;
  Batch microbatch(index_t index) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// The vocabulary a model needs for this corpus and objective: the tokenizer's, plus a mask id when
// masking needs one it lacks.
index_t required_vocab(const std::string& corpus_directory, Objective objective);

}  // namespace lockstep
