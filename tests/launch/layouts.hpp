// Small models trained on a layout beside one rank on the CPU, for tests under mpirun.
#pragma once

#include <gtest/gtest.h>

#include "core/model/unpad.hpp"
#include "data/cut_batch.hpp"
#include "launch/compare_layouts.hpp"
#include "launch/reproducible.hpp"
#include "parallel/pipeline/schedules.hpp"
#include "tests/core/model/tiny.hpp"
#include "tests/support/mpi.hpp"

namespace lockstep::test {

inline constexpr index_t T = 16;
inline constexpr std::int64_t steps = 3;

inline ModelConfig gpt(index_t layers = 8) {
  ModelConfig config = tiny_gpt();
  config.layers = layers;
  config.heads = 4;
  config.width = 16;
  config.ffn_width = 24;
  config.head_size = 0;
  config.max_positions = T;
  return config;
}

inline ModelConfig bert(index_t layers = 8) {
  ModelConfig config = tiny_bert();
  const ModelConfig sizes = gpt(layers);
  config.layers = sizes.layers;
  config.heads = sizes.heads;
  config.width = sizes.width;
  config.ffn_width = sizes.ffn_width;
  config.head_size = 0;
  config.max_positions = T;
  return config;
}

struct Layout {
  const char* name;
  Degrees degrees;
  int microbatches = 1;
  const char* schedule = "1f1b";
  bool sequence_parallel = false;
  bool zero = false;
  Recompute recompute = Recompute::none;
  bool reproducible = false;
  Device device = {};
  AttentionKernels attention = AttentionKernels::plain;
  index_t samples = 16;  // of a step
  GpuOptions gpu = {};

  index_t microbatch_size() const { return samples / degrees.dp / microbatches; }
};

inline TrainerConfig trainer_config(ModelConfig model,
                                    const Layout& layout,
                                    DType precision = DType::f64) {
  TrainerConfig config;
  config.model = model;
  config.model.resolve(8, layout.degrees.tp);
  config.degrees = layout.degrees;
  config.precision = precision;
  config.device = layout.device;
  config.schedule = make_schedule(layout.schedule, layout.degrees.pp, layout.microbatches);
  config.sequence_length = T;
  config.sequence_parallel = layout.sequence_parallel;
  config.zero = layout.zero;
  config.recompute = layout.recompute;
  config.attention = layout.attention;
  config.gpu = layout.gpu;
  config.clip_norm = 1;
  config.seed = 3;
  if (layout.reproducible) {
    const index_t B = layout.microbatch_size();
    config.sums = fixed_order(config.model, config.degrees, layout.samples, B);
    config.gradient_leaves = gradient_leaves(config.degrees, layout.samples, B);
  }
  return config;
}

// A step's samples in microbatches, as the part of a rank. multiple: of rows without padding; 0:
// with padding.
inline MakeBatch batches(const ModelConfig& model, const Layout& layout, index_t multiple = 0) {
  const index_t samples = layout.samples, B = layout.microbatch_size();
  return [=](std::int64_t step, const BatchPart& part) {
    const index_t own = samples / part.dp_degree;
    StepBatch batch;
    for (index_t done = 0; done < own; done += B) {
      const index_t first = (step - 1) * samples + part.dp_rank * own + done;
      const bool padded = model.objective != Objective::causal;
      const Batch whole = tiny_batch(model, B, T, padded, first);
      batch.microbatches.push_back(multiple > 0 ? unpad(whole, multiple)
                                                : cut_batch(whole, part.cut));
    }
    return batch;
  };
}

inline void expect_like_one_rank(const ModelConfig& model,
                                 const Layout& layout,
                                 DType precision = DType::f64) {
  const TrainerConfig config = trainer_config(model, layout, precision);

  const bool unpadded = !layout.reproducible && layout.degrees.cp == 1 && layout.device == Device{};
  const LayoutComparison comparison = compare_with_one_rank(
      environment(), config, batches(config.model, layout, unpadded ? layout.degrees.tp : 0), steps,
      [](std::int64_t) { return 1e-2; });

  const LayoutTolerance bound = layout_tolerance(precision, layout.reproducible, layout.attention);
  EXPECT_LE(comparison.worst_loss(), bound.loss(1)) << layout.name;
  EXPECT_LE(comparison.worst_norm(), bound.norm(1)) << layout.name;
  for (const ParameterDifference& gradient : comparison.gradients)
    EXPECT_LE(gradient.relative, bound.gradient) << layout.name << ", " << gradient.name;
}

}  // namespace lockstep::test
