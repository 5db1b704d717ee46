// Small GPT and BERT with their batches, cut into the stages that a schedule gives a rank.
#pragma once

#include <vector>

#include "core/model/parameter_table.hpp"
#include "core/model/stage.hpp"
#include "core/model/unpad.hpp"
#include "core/random.hpp"
#include "parallel/pipeline/runner.hpp"
#include "parallel/pipeline/schedules.hpp"

namespace lockstep::test {

inline constexpr index_t T = 6;
inline constexpr std::uint64_t seed = 42;

// Small models with dropout: what a microbatch gets must not depend on when it runs.
inline ModelConfig small_gpt() {
  ModelConfig config;
  config.layers = 4;
  config.heads = 2;
  config.width = 8;
  config.ffn_width = 16;
  config.vocab_size = 13;
  config.max_positions = T;
  config.resolve(1, 1);
  return config;
}

inline ModelConfig small_bert() {
  ModelConfig config = small_gpt();
  config.segment_types = 2;
  config.norm = NormPlace::post;
  config.embedding_norm = config.mlm_transform = true;
  config.final_norm = config.scaled_residual_init = false;
  config.objective = Objective::mlm_nsp;
  config.mask = Mask::full;
  return config;
}

// B samples from global sample number `first` on; a masked model predicts every third position.
inline Batch make_batch(const ModelConfig& config, index_t B, index_t first) {
  const bool causal = config.objective == Objective::causal;
  std::vector<std::int32_t> tokens, segments, rows, ids, labels, lengths;
  std::vector<std::int64_t> samples;
  const auto draw = [&](index_t sample, index_t t) {
    const std::uint64_t bits =
        mix(static_cast<std::uint64_t>(sample), static_cast<std::uint64_t>(t));
    return static_cast<std::int32_t>(bits % static_cast<std::uint64_t>(config.vocab_size));
  };
  for (index_t b = 0; b < B; ++b) {
    const index_t sample = first + b, length = causal ? T : T - sample % 2;
    samples.push_back(sample);
    lengths.push_back(static_cast<std::int32_t>(length));
    labels.push_back(static_cast<std::int32_t>(sample % 2));
    for (index_t t = 0; t < T; ++t) {
      tokens.push_back(draw(sample, t));
      segments.push_back(t < T / 2 ? 0 : 1);
      if (t >= length || (!causal && t % 3 != 1)) continue;
      rows.push_back(static_cast<std::int32_t>(b * T + t));
      ids.push_back(draw(sample, t + 1));
    }
  }
  const auto vector = [](const auto& values) {
    return Tensor::from(values, {static_cast<index_t>(values.size())});
  };
  Batch batch;
  batch.B = B;
  batch.T = T;
  if (B == 0) return batch;
  batch.tokens = vector(tokens);
  batch.sample_ids = vector(samples);
  batch.target_rows = vector(rows);
  batch.target_ids = vector(ids);
  if (causal) return batch;
  batch.segments = vector(segments);
  batch.lengths = vector(lengths);
  batch.labels = vector(labels);
  return batch;
}

// Microbatches of the given sizes, cut from one run of samples; every other one without padding.
inline std::vector<Batch> make_batches(const ModelConfig& config,
                                       const std::vector<index_t>& sizes) {
  std::vector<Batch> batches;
  index_t first = 100;
  for (index_t B : sizes) {
    const Batch batch = make_batch(config, B, first);
    batches.push_back(batches.size() % 2 == 0 ? batch : unpad(batch, 1));
    first += B;
  }
  return batches;
}

inline std::vector<LossTerm> counted_terms(const ModelConfig& config,
                                           const std::vector<Batch>& batches) {
  std::vector<LossTerm> terms = loss_terms(config);
  for (const Batch& batch : batches) {
    if (batch.B > 0) add_counts(terms, batch);
  }
  return terms;
}

inline Context training_context(std::vector<LossTerm>& terms) {
  Context context;
  context.step = 1;
  context.seed = seed;
  context.terms = &terms;
  return context;
}

// The stages of a model that one rank holds, with their weights; the gradients start at zero.
struct Model {
  ModelConfig config;
  ParameterTable table;
  ParameterStore store;
  LocalGroup tp;
  std::vector<Stage> stages;

  Model(const ModelConfig& c, const Schedule& schedule, int rank, DType dtype)
      : Model(c, stage_map(schedule, plan_layers(c, T)).of_rank(rank), dtype) {}
  Model(const ModelConfig& c, const std::vector<StageRange>& ranges, DType dtype)
      : config(c), table(config), store(table, ranges, 0, 1, dtype, Device{}) {
    for (const StageRange range : ranges)
      stages.emplace_back(config, range, store, StageSetup{tp, tp});
    store.initialize(seed);
    store.gradients().fill_zero();
  }
};

// Every schedule that M microbatches allow, one and several stages a rank.
inline std::vector<Schedule> all_schedules(int P, int M) {
  std::vector<Schedule> schedules;
  for (const char* name : {"gpipe", "1f1b", "zb-h1"})
    schedules.push_back(make_schedule(name, P, M));
  if (M % P == 0) schedules.push_back(make_schedule("interleaved", P, M, 2));
  if (M >= 2 * P) schedules.push_back(make_schedule("zb-v", P, M));
  return schedules;
}

}  // namespace lockstep::test
