// One rank's part of a model in training: parameters, stage, pipeline, gradient sums, optimizer.
// pretrain, eval, bench and the oracle check are loops around it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/model/batch.hpp"
#include "core/model/parameter_table.hpp"
#include "core/model/stage.hpp"
#include "core/optim/adamw.hpp"
#include "parallel/checkpoint/checkpoint.hpp"
#include "parallel/gradient/sync.hpp"
#include "parallel/pipeline/runner.hpp"
#include "parallel/topology.hpp"

namespace lockstep {

struct TrainerConfig {
  ModelConfig model;  // resolved
  Degrees degrees;
  DType dtype = DType::f32;
  Device device;
  Schedule schedule;  // of one replica's microbatches in most steps
  index_t sequence_length = 0;
  bool sequence_parallel = false;
  bool zero = false;
  Recompute recompute = Recompute::none;
  AdamWConfig optimizer;
  double clip_norm = 0;  // 0: none
  std::uint64_t seed = 0;
};

// What the ranks agree on before a step's first forward: the integer counts of the loss terms over
// the global batch, whether a rank was asked to stop, and whether one failed to get its data.
struct StepAgreement {
  std::vector<LossTerm> terms;
  bool stop = false;
  bool failed = false;
};

struct StepResult {
  std::vector<LossTerm> terms;  // sums over the global batch, in double
  double loss = 0;              // sum of weight * sum / count
  double gradient_norm = 0;     // before clipping
  // Of this rank. communication: gradient sums, norm, parameter gather; what the passes wait for is
  // theirs.
  double forward_seconds = 0, backward_seconds = 0, communication_seconds = 0,
         optimizer_seconds = 0;
};

double total_loss(const std::vector<LossTerm>& terms);

class Trainer {
 public:
  // Collective over the world.
  Trainer(const Environment& environment, const TrainerConfig& config);

  const TrainerConfig& config() const { return config_; }
  const Topology& topology() const { return topology_; }
  const ParameterTable& table() const { return table_; }
  const StageMap& stages() const { return stages_; }
  ParameterStore& store() { return store_; }
  // Of the flat buffers: where this rank has the summed gradients.
  Span own_span() const { return gradients_.own_span(); }
  const PipelineRunner& pipeline() const { return *runner_; }  // of the last step
  const Stage& stage() const { return held_.front(); }         // of a model in one stage

  void initialize() { store_.initialize(config_.seed); }

  // All of the following are collective.
  StepAgreement agree(const StepBatch& batch, bool stop, bool failed) const;
  // Forward, backward and gradient sums: gradients() of the store hold count_0 times the gradient
  // of the loss.
  StepResult compute_gradients(const StepBatch& batch,
                               std::int64_t step,
                               std::vector<LossTerm> terms);
  // Clips, steps the own span with `rate`, gathers the values.
  void apply_gradients(std::int64_t step, double rate, StepResult& result);
  // Sums, counts and right predictions over microbatches of all data-parallel ranks; each rank
  // brings equally many.
  std::vector<LossTerm> evaluate(const std::vector<Batch>& batches);

  SaveResult save(const std::string& checkpoints, const CheckpointMeta& meta) const;
  void load(const std::string& step_directory, bool weights_only);
  std::string weights_hash() const;  // on world rank 0

 private:
  StepBatch on_device(const StepBatch& batch) const;
  PipelineRunner& runner_for(std::size_t microbatches);
  Context context(std::int64_t step, std::vector<LossTerm>& terms, bool training) const;
  OptimizerState optimizer_state() const;

  const Environment& environment_;
  TrainerConfig config_;
  Topology topology_;
  ParameterTable table_;
  StageMap stages_;
  ParameterStore store_;
  std::vector<Stage> held_;  // this rank's stages, in model order
  // One for each number of microbatches met: a batch that grows has several.
  std::map<std::size_t, PipelineRunner> runners_;
  GradientSync gradients_;
  AdamW optimizer_;
  PipelineRunner* runner_;  // of the last step
};

}  // namespace lockstep
