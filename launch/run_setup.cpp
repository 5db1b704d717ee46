#include "launch/run_setup.hpp"

#include <algorithm>

#include "data/corpus.hpp"
#include "launch/device_choice.hpp"
#include "launch/reproducible.hpp"

namespace lockstep {
namespace {

std::optional<LoaderConfig> validation_data(const RunOptions& options,
                                            const LoaderConfig& training) {
  LoaderConfig data = training;
  data.corpora.clear();
  if (options.validation_corpus) {
    data.corpora.push_back({*options.validation_corpus, 1, "all"});
    return data;
  }
  for (const auto& [directory, weight] : options.corpora) {
    const CorpusInfo info = read_corpus_info(directory);
    if (std::find(info.splits.begin(), info.splits.end(), "validation") != info.splits.end()) {
      data.corpora.push_back({directory, 1, "validation"});
    }
  }
  if (data.corpora.empty()) return std::nullopt;
  return data;
}

}  // namespace

void leave_out_padding(LoaderConfig& data,
                       const Degrees& degrees,
                       Device device,
                       bool sequence_parallel,
                       bool fixed_sums) {
  data.unpadded = device.kind == Device::Kind::cpu && degrees.cp == 1 && !fixed_sums;
  data.row_multiple = sequence_parallel ? degrees.tp : 1;
}

RunSetup read_setup(const RunOptions& options, const Environment& environment) {
  RunSetup setup;
  setup.device = choose_device(environment, options.numerics.device, options.numerics.precision,
                               options.numerics.reproducible);
  setup.degrees = resolve_degrees(environment.size(), options.layout.dp, options.layout.pp,
                                  options.layout.cp, options.layout.tp);
  index_t vocabulary = 0;
  for (const auto& [directory, weight] : options.corpora) {
    const CorpusInfo info = read_corpus_info(directory);
    setup.fingerprint += (setup.fingerprint.empty() ? "" : ",") + info.fingerprint;
    setup.data.corpora.push_back({directory, weight, "train"});
  }
  const ModelConfig without_vocabulary = make_model(options, 0);
  for (const auto& [directory, weight] : options.corpora) {
    vocabulary = std::max(vocabulary, required_vocab(directory, without_vocabulary.objective));
  }
  setup.model = make_model(options, vocabulary);
  check_gpu_options(options.numerics.gpu, setup.model, options.numerics.precision,
                    environment.size(), setup.device);
  setup.sequence_length = resolve_sequence_length(options.model, setup.model);
  setup.data.objective = setup.model.objective;
  setup.data.sequence_length = setup.sequence_length;
  setup.data.global_batch_size = options.global_batch_size;
  setup.data.microbatch_size = options.microbatch_size;
  setup.data.ramp_start = options.ramp_start;
  setup.data.ramp_steps = options.ramp_steps;
  setup.data.mask_probability = options.mask_probability;
  setup.data.seed = options.seed;
  setup.data.prefetch = options.prefetch;
  setup.data.dp_degree = setup.degrees.dp;
  setup.data.cp_degree = setup.degrees.cp;
  const bool fixed = fixes_sums(options.numerics.reproducible, setup.device);
  leave_out_padding(setup.data, setup.degrees, setup.device, options.layout.sequence_parallel,
                    fixed);
  setup.validation = validation_data(options, setup.data);
  check_effects(options,
                {setup.degrees, setup.model, setup.sequence_length, setup.validation.has_value()});
  if (fixed) {
    fixed_order(setup.model, setup.degrees, options.global_batch_size, options.microbatch_size);
  }
  setup.schedule = schedule_of(
      options.layout, setup.degrees.pp,
      static_cast<int>(options.global_batch_size / setup.degrees.dp / options.microbatch_size));
  return setup;
}

TrainerConfig trainer_config(const RunOptions& options, const RunSetup& setup) {
  TrainerConfig config;
  config.model = setup.model;
  config.degrees = setup.degrees;
  config.precision = options.numerics.precision;
  config.device = setup.device;
  config.schedule = setup.schedule;
  config.sequence_length = setup.sequence_length;
  config.sequence_parallel = options.layout.sequence_parallel;
  config.zero = options.layout.zero;
  config.recompute = options.layout.recompute;
  config.attention = setup.attention;
  config.gpu = options.numerics.gpu;
  config.timed_products = times_products(options.numerics.reproducible, config.degrees);
  if (fixes_sums(options.numerics.reproducible, setup.device)) {
    config.sums =
        fixed_order(setup.model, setup.degrees, options.global_batch_size, options.microbatch_size);
    config.gradient_leaves =
        gradient_leaves(setup.degrees, options.global_batch_size, options.microbatch_size);
  }
  config.optimizer = {options.beta1, options.beta2, options.epsilon, options.weight_decay};
  config.clip_norm = options.clip_norm;
  config.seed = options.seed;
  return config;
}

}  // namespace lockstep
