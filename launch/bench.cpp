// `lockstep bench`: whole training steps on random tokens, no corpus, no files. Figures are medians
// over the timed steps.
#include "launch/bench.hpp"

#include <algorithm>
#include <chrono>
#include <iostream>

#include <nlohmann/json.hpp>

#include "core/model/unpad.hpp"
#include "core/random.hpp"
#include "data/cut_batch.hpp"
#include "launch/affinity.hpp"
#include "launch/gpu_memory.hpp"
#include "launch/reproducible.hpp"
#include "launch/run_setup.hpp"
#include "launch/throughput.hpp"
#include "launch/trainer.hpp"

namespace lockstep {
namespace {

constexpr index_t masked_percent = 15;
constexpr int warmup_steps = 2;  // first touch of memory, creation of primitives

// --natural-lengths: spread evenly from 1 to T over the samples of a step, a short one beside a
// long one.
std::int32_t natural_length(index_t sample, index_t samples, index_t T) {
  const index_t rank = sample % 2 == 0 ? sample / 2 : samples - 1 - sample / 2;
  return static_cast<std::int32_t>(std::max<index_t>(T * (2 * rank + 1) / (2 * samples), 1));
}

// Samples from number `first_sample` on. lengths: of each, or none for T.
Batch random_batch(const ModelConfig& model,
                   index_t B,
                   index_t T,
                   std::uint64_t seed,
                   index_t first_sample,
                   const std::vector<std::int32_t>& lengths) {
  std::uint64_t draws = 0;
  const auto below = [&](index_t n) {
    return static_cast<std::int32_t>(
        uniform_below(static_cast<std::uint64_t>(n), [&] { return mix(seed, ++draws); }));
  };
  std::vector<std::int32_t> tokens, rows, ids, segments, labels;
  std::vector<std::int64_t> samples;
  const bool causal = model.objective == Objective::causal;
  for (index_t row = 0; row < B * T; ++row) {
    tokens.push_back(below(model.vocab_size));
    segments.push_back(row % T < T / 2 ? 0 : 1);
    const auto b = static_cast<std::size_t>(row / T);
    if (!lengths.empty() && row % T >= lengths[b]) continue;
    if (causal || below(100) < masked_percent) {
      rows.push_back(static_cast<std::int32_t>(row));
      ids.push_back(below(model.vocab_size));
    }
  }
  for (index_t b = 0; b < B; ++b) {
    samples.push_back(first_sample + b);
    labels.push_back(below(2));
  }
  Batch batch{.B = B,
              .T = T,
              .tokens = Tensor::from(tokens, {B * T}),
              .segments = {},
              .lengths = {},
              .sample_ids = Tensor::from(samples, {B}),
              .target_rows = Tensor::from(rows, {static_cast<index_t>(rows.size())}),
              .target_ids = Tensor::from(ids, {static_cast<index_t>(ids.size())}),
              .labels = {},
              .cut = {},
              .row_starts = {}};
  if (!lengths.empty()) batch.lengths = Tensor::from(lengths, {B});
  if (model.segment_types > 0) batch.segments = Tensor::from(segments, {B * T});
  if (model.objective == Objective::mlm_nsp) batch.labels = Tensor::from(labels, {B});
  return batch;
}

// This rank's microbatches; the same of every step.
StepBatch step_batch(const BenchOptions& options,
                     const TrainerConfig& config,
                     const Topology& topology) {
  LoaderConfig rows;
  leave_out_padding(rows, config.degrees, config.device, config.sequence_parallel,
                    config.sums.fixed);
  StepBatch batch;
  for (int m = 0; m < config.schedule.microbatches; ++m) {
    const index_t slot =
        (topology.dp_rank() * config.schedule.microbatches + m) * options.microbatch_size;
    std::vector<std::int32_t> lengths;
    for (index_t b = 0; options.natural_lengths && b < options.microbatch_size; ++b)
      lengths.push_back(
          natural_length(slot + b, options.global_batch_size, config.sequence_length));
    const Batch whole =
        random_batch(config.model, options.microbatch_size, config.sequence_length,
                     mix(options.seed, static_cast<std::uint64_t>(slot)), slot, lengths);
    batch.microbatches.push_back(rows.unpadded
                                     ? unpad(whole, rows.row_multiple)
                                     : cut_batch(whole, {topology.cp_rank(), config.degrees.cp}));
  }
  return batch;
}

// Of the whole step, by all ranks.
double rows_of(const StepBatch& batch, const Topology& topology) {
  index_t rows = 0;
  for (const Batch& microbatch : batch.microbatches) rows += microbatch.rows();
  const bool counts = topology.pp_rank() == 0 && topology.tp_rank() == 0;
  Tensor sum = Tensor::from(std::vector<std::int64_t>{counts ? rows : 0}, {1});
  topology.world().all_reduce(sum, Reduce::sum, "loss");
  return static_cast<double>(sum.data<std::int64_t>()[0]);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

}  // namespace

int run_bench(const Environment& environment, const BenchOptions& options) {
  using Clock = std::chrono::steady_clock;
  TrainerConfig config;
  environment.agree([&] {
    config.model = make_model(options.model, options.layout, 0, options.numerics.reproducible);
    config.device = choose_device(environment, options.numerics.device, options.numerics.precision,
                                  options.numerics.reproducible);
    check_gpu_options(options.numerics.gpu, config.model, options.numerics.precision,
                      environment.size(), config.device);
    config.gpu = options.numerics.gpu;
    config.degrees = resolve_degrees(environment.size(), options.layout.dp, options.layout.pp,
                                     options.layout.cp, options.layout.tp);
    config.sequence_length = resolve_sequence_length(options.model, config.model);
    check_effects(options, {config.degrees, config.model, config.sequence_length, false});
    config.timed_products = times_products(options.numerics.reproducible, config.degrees);
    if (fixes_sums(options.numerics.reproducible, config.device)) {
      config.sums = fixed_order(config.model, config.degrees, options.global_batch_size,
                                options.microbatch_size);
      config.gradient_leaves =
          gradient_leaves(config.degrees, options.global_batch_size, options.microbatch_size);
    }
  });
  stay_near(environment, config.device, options.numerics.threads);
  const int threads = set_threads(environment, options.numerics.threads);
  choose_transport(environment, options.numerics.transport, config.device,
                   options.numerics.reproducible);
  config.precision = options.numerics.precision;
  environment.agree([&] {
    config.schedule = schedule_of(
        options.layout, config.degrees.pp,
        static_cast<int>(options.global_batch_size / config.degrees.dp / options.microbatch_size));
  });
  config.sequence_parallel = options.layout.sequence_parallel;
  config.zero = options.layout.zero;
  config.recompute = options.layout.recompute;
  config.clip_norm = 1;
  config.seed = options.seed;
  config.attention = choose_attention(environment, options.numerics.attention, config,
                                      options.microbatch_size, options.numerics.reproducible);
  const bool causal = config.model.objective == Objective::causal;
  require_gpu_memory(environment, config,
                     {options.microbatch_size, 1.0, causal ? 1.0 : masked_percent / 100.0, false});
  const double peak = measure_peak_gflops(environment, config.device, config.precision, threads);
  Trainer trainer(environment, config);
  trainer.initialize();

  std::vector<double> seconds, forward, backward, optimizer, communication;
  const StepBatch batch = step_batch(options, config, trainer.topology());
  const double rows = rows_of(batch, trainer.topology());
  for (std::int64_t step = 1; step <= warmup_steps + options.steps; ++step) {
    environment.world().barrier();
    const auto begin = Clock::now();
    const StepAgreement agreement = trainer.agree(batch, {});
    StepResult result = trainer.compute_gradients(batch, step, agreement.terms);
    trainer.apply_gradients(step, 1e-4, result);
    if (step <= warmup_steps) continue;
    seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    forward.push_back(result.forward_seconds);
    backward.push_back(result.backward_seconds);
    optimizer.push_back(result.optimizer_seconds);
    communication.push_back(result.communication_seconds);
  }
  const double step_seconds = median(seconds);
  const double tokens = static_cast<double>(options.global_batch_size * config.sequence_length);
  const double flops =
      rows * flops_per_token(config.model, trainer.table().count(), config.sequence_length);
  nlohmann::ordered_json json;
  json["tokens_per_second"] = tokens / step_seconds;
  json["seconds"] = step_seconds;
  json["forward_seconds"] = median(forward);
  json["backward_seconds"] = median(backward);
  json["optimizer_seconds"] = median(optimizer);
  json["communication_seconds"] = median(communication);
  json["peak_share"] = flops / step_seconds / (peak * 1e9);
  json["peak_gflops"] = peak;
  json["peak_memory_bytes"] = peak_memory_bytes(environment, config.device);
  json["rows"] = rows;
  json["parameters"] = trainer.table().count();
  if (environment.rank() != 0) return 0;
  if (options.json) {
    std::cout << json.dump() << '\n';
    return 0;
  }
  for (const auto& [name, value] : json.items()) std::cout << name << ' ' << value << '\n';
  return 0;
}

}  // namespace lockstep
