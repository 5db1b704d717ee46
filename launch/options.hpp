// The options of each command as typed values. Defaults, ranges and texts are rows of
// launch/options_table; here is only what the rest of the program reads. read_x() throws Error
// (refused) for options that contradict each other or have no effect.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/model/config.hpp"
#include "core/model/stage.hpp"
#include "core/optim/learning_rate.hpp"
#include "launch/attention_choice.hpp"
#include "launch/device_choice.hpp"
#include "launch/drill.hpp"
#include "launch/option_values.hpp"
#include "launch/transport_choice.hpp"
#include "parallel/pipeline/action.hpp"
#include "parallel/topology.hpp"

namespace lockstep {

struct ModelOptions {
  std::string model;
  std::optional<index_t> layers, heads, width, ffn_width, max_positions, vocab_size,
      sequence_length;
  index_t vocab_multiple = 0;
  std::optional<Positions> positions;
  std::optional<NormPlace> norm;
  std::optional<Activation> activation;
  std::optional<bool> bias;
  std::optional<double> dropout, attention_dropout;
  std::optional<Objective> objective;
};

struct LayoutOptions {
  int tp = 1, pp = 1, cp = 1;
  int dp = 0;  // 0: from the number of ranks
  std::string schedule = "1f1b";
  std::optional<std::string> schedule_file;  // instead of `schedule`
  int virtual_stages = 0;                    // per rank; 0: the schedule's own
  bool sequence_parallel = false;
  bool zero = false;
  Recompute recompute = Recompute::none;
};

// --schedule or --schedule-file for this many microbatches.
Schedule schedule_of(const LayoutOptions& layout, int pp, int microbatches);

DType precision_named(const std::string& name);  // "fp32", "bf16", "fp64"

struct NumericsOptions {
  DType precision = DType::f32;  // what matrix products read
  DeviceChoice device = DeviceChoice::automatic;
  TransportChoice transport = TransportChoice::automatic;
  AttentionChoice attention = AttentionChoice::automatic;
  int threads = 0;  // 0: OMP_NUM_THREADS, else this rank's share of the cores
  bool reproducible = false;
  GpuOptions gpu;
};

// What a loss or gradient that is not finite leads to.
enum class OnNonFinite { stop, skip, rewind };

struct RunOptions {
  explicit RunOptions(OptionValues given) : values(std::move(given)) {}

  OptionValues values;  // as given: what config.ini and checkpoints are written from
  ModelOptions model;
  LayoutOptions layout;
  NumericsOptions numerics;

  // Data and batch; sizes in sequences.
  std::vector<std::pair<std::string, double>> corpora;  // directory, weight
  std::optional<std::string> validation_corpus;
  double mask_probability = 0;
  std::uint64_t seed = 0;
  int prefetch = 0;
  index_t microbatch_size = 0, global_batch_size = 0;
  index_t ramp_start = 0;       // of --batch-ramp
  std::int64_t ramp_steps = 0;  // 0: no ramp

  // Optimizer.
  std::int64_t steps = 0, warmup_steps = 0, decay_steps = 0;
  double learning_rate = 0, min_learning_rate = 0;
  Decay decay = Decay::cosine;
  double weight_decay = 0, beta1 = 0, beta2 = 0, epsilon = 0, clip_norm = 0;

  // Run.
  std::string output;
  std::string resume;                 // "auto", "never" or a path
  std::int64_t checkpoint_every = 0;  // 0: only at the end
  double checkpoint_minutes = 0;      // 0: not by time
  int keep = 0;
  std::int64_t keep_every = 0;  // 0: none beyond the newest
  std::optional<std::int64_t> exit_at_step;
  std::int64_t validate_every = 0;   // 0: never
  index_t validation_sequences = 0;  // 0: all
  std::int64_t log_every = 1;
  bool hash_weights = false;
  bool trace = false;

  // Durability.
  bool save_async = true;
  double watchdog_seconds = 0;       // 0: none
  std::optional<double> time_limit;  // seconds
  OnNonFinite on_nonfinite = OnNonFinite::stop;
  std::int64_t verify_every = 0;  // 0: never
  std::vector<Drill> drills;
};

struct VerifyOptions {
  RunOptions run;
  LayoutOptions layout;
  std::int64_t steps = 0;
  bool json = false;
};

struct BenchOptions {
  explicit BenchOptions(OptionValues given) : values(std::move(given)) {}

  OptionValues values;
  ModelOptions model;
  LayoutOptions layout;
  NumericsOptions numerics;
  std::uint64_t seed = 0;
  index_t microbatch_size = 0, global_batch_size = 0;
  std::int64_t steps = 0;
  bool natural_lengths = false;
  bool json = false;
};

struct EvalOptions {
  LayoutOptions layout;
  std::optional<DType> precision;  // nothing: the checkpoint's
  DeviceChoice device = DeviceChoice::automatic;
  TransportChoice transport = TransportChoice::automatic;
  AttentionChoice attention = AttentionChoice::automatic;
  int threads = 0;
  bool reproducible = false;
  std::string checkpoint;
  std::optional<std::int64_t> step;
  std::string corpus, split;
  index_t microbatch_size = 0;
  bool json = false;
};

struct GenerateOptions {
  LayoutOptions layout;
  std::optional<DType> precision;
  DeviceChoice device = DeviceChoice::automatic;
  TransportChoice transport = TransportChoice::automatic;
  int threads = 0;
  std::string checkpoint;
  std::optional<std::int64_t> step;
  std::optional<std::string> tokenizer;  // nothing: that of the corpus trained on
  std::string prompt;
  index_t tokens = 0, top_k = 0;      // top_k 0: all
  double temperature = 1, top_p = 1;  // temperature 0: greedy
  int samples = 1;
  std::uint64_t seed = 0;
};

RunOptions read_run_options(const std::vector<std::string>& arguments);
VerifyOptions read_verify_options(const std::vector<std::string>& arguments);
BenchOptions read_bench_options(const std::vector<std::string>& arguments);
EvalOptions read_eval_options(const std::vector<std::string>& arguments);
GenerateOptions read_generate_options(const std::vector<std::string>& arguments);

// Throws Error (wrong_ranks) when LOCKSTEP_RANKS or the layout's degrees do not fit the number of
// ranks. Reads only these options and passes over all other mistakes, because a wrong number of
// ranks outweighs them.
void check_ranks(const std::vector<std::string>& arguments, int ranks);

// Preset and overrides, resolved and validated: vocabulary (0: the preset's), layout, sequence
// length.
// reproducible: the vocabulary is padded the same for every tp.
ModelConfig make_model(const ModelOptions& options,
                       const LayoutOptions& layout,
                       index_t tokenizer_vocab,
                       bool reproducible = false);
ModelConfig make_model(const RunOptions& options, index_t tokenizer_vocab);
// As given, else the preset's, at most max_positions.
index_t resolve_sequence_length(const ModelOptions& options, const ModelConfig& model);

// What is known only after the ranks, the model and the corpus are.
struct RunFacts {
  Degrees degrees;
  ModelConfig model;
  index_t sequence_length = 0;
  bool has_validation = false;  // --validation-corpus, or a split `validation`
};
// Options without effect, and batch sizes that do not divide.
void check_effects(const RunOptions& options, const RunFacts& facts);
void check_effects(const BenchOptions& options, const RunFacts& facts);

// config.ini: every option as resolved. `lockstep pretrain --config DIR/config.ini` repeats the
// run.
std::string resolved_config(const RunOptions& options, const ModelConfig& model);
// The settings that must not change over a resume, by option name, as resolved: what is computed,
// not how.
std::map<std::string, std::string> fixed_settings(const RunOptions& options,
                                                  const ModelConfig& model);
// Throws Error naming option and both values when a checkpoint's settings differ.
void check_resumed(const std::map<std::string, std::string>& now,
                   const std::map<std::string, std::string>& then,
                   const std::string& step_directory);

}  // namespace lockstep
