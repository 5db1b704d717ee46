// One rank's part of a model in training: parameters, stage, pipeline, gradient sums, optimizer.
// pretrain, eval, bench and the oracle check are loops around it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/model/batch.hpp"
#include "core/model/parameter_table.hpp"
#include "core/model/stage.hpp"
#include "core/optim/adamw.hpp"
#include "launch/device_choice.hpp"
#include "parallel/checkpoint/checkpoint.hpp"
#include "parallel/gradient/shard_tree.hpp"
#include "parallel/gradient/sync.hpp"
#include "parallel/pipeline/runner.hpp"
#include "parallel/topology.hpp"

namespace lockstep {

struct TrainerConfig {
  ModelConfig model;  // resolved
  Degrees degrees;
  DType precision = DType::f32;  // what matrix products read
  Device device;
  Schedule schedule;  // of one replica's microbatches in most steps
  index_t sequence_length = 0;
  bool sequence_parallel = false;
  bool zero = false;
  Recompute recompute = Recompute::none;
  AttentionKernels attention = AttentionKernels::plain;
  AdamWConfig optimizer;
  double clip_norm = 0;  // 0: none
  // Reproducible mode: sums.fixed, and the leaves of this rank's gradient tree
  // (launch/reproducible).
  Summation sums;
  int gradient_leaves = 1;
  std::uint64_t seed = 0;
  bool timed_products = false;  // on a GPU (core/ops/gemm)
  GpuOptions gpu;               // that check_gpu_options takes
};

// bf16 weights of a CPU, where packing them once serves more products than a microbatch's own
// (ParameterStore::keep_packed). Fixed sums read them plain.
bool keeps_packed_weights(const TrainerConfig& config);

// What a rank has to say before a step; all then hear what any rank said.
struct StepFlags {
  bool stop = false;         // it was asked to stop
  bool failed = false;       // it did not get its data
  bool saving = false;       // its part of a save is still being written
  bool superseded = false;   // another start has taken over
  bool out_of_time = false;  // the time limit is near
  bool save_due = false;     // by the clock
};

// What the ranks agree on before a step's first forward: the integer counts of the loss terms over
// the global batch, and the flags.
struct StepAgreement {
  std::vector<LossTerm> terms;
  StepFlags any;
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

// Of what the first microbatch of a step alone adds to the gradients: one for each stage of this
// rank.
using GradientDigests = std::vector<std::int64_t>;

class Trainer {
 public:
  // Collective over the world.
  Trainer(const Environment& environment, const TrainerConfig& config);

  const TrainerConfig& config() const { return config_; }
  const Topology& topology() const { return topology_; }
  const ParameterTable& table() const { return table_; }
  const StageMap& stages() const { return stages_; }
  ParameterStore& store() { return store_; }
  const ParameterStore& store() const { return store_; }
  // Of the flat buffers: where this rank has the summed gradients.
  Span own_span() const { return gradients_.own_span(); }
  const PipelineRunner& pipeline() const { return *runner_; }  // of the last step
  std::size_t gradient_bytes() const;  // the flat buffer, and what reproducible mode lays aside
  const Stage& stage() const { return held_.front(); }  // of a model in one stage
  OptimizerState optimizer_state() const;

  void initialize();  // weights from the seed, moments 0

  // All of the following are collective.
  StepAgreement agree(const StepBatch& batch, const StepFlags& own) const;
  // Forward, backward and gradient sums: gradients() of the store hold count_0 times the gradient
  // of the loss. first: gets the digests of the first microbatch where it is given.
  StepResult compute_gradients(const StepBatch& batch,
                               std::int64_t step,
                               std::vector<LossTerm> terms,
                               GradientDigests* first = nullptr);
  // The digests of the first microbatch, computed alone. The gradients are void afterwards.
  GradientDigests digest_first(const StepBatch& batch,
                               std::int64_t step,
                               std::vector<LossTerm> terms);
  // Forward and backward again, seen by the probe; no sums over ranks. The gradients are void
  // afterwards.
  void repeat_passes(const StepBatch& batch,
                     std::int64_t step,
                     std::vector<LossTerm> terms,
                     const Probe& probe);
  // Graphs made anew and graphs launched so far, of forward and backward actions.
  std::pair<std::int64_t, std::int64_t> graph_counts() const;
  // Clips, steps the own span with `rate`, gathers the values.
  void apply_gradients(std::int64_t step, double rate, StepResult& result);
  // Sums, counts and right predictions over microbatches of all data-parallel ranks; each rank
  // brings equally many.
  std::vector<LossTerm> evaluate(const std::vector<Batch>& batches);

  void load(const std::string& step_directory, bool weights_only);
  std::string weights_hash() const;  // on world rank 0

 private:
  struct StepGraphs {
    StepGraphs() = default;  // off
    explicit StepGraphs(Device device) : actions(device), sums(device), update(device) {}

    ActionGraphs actions;
    OpGraph sums, update;
  };

  StepBatch on_device(const StepBatch& batch) const;
  PipelineRunner& runner_for(std::size_t microbatches);
  Context context(std::int64_t step, std::vector<LossTerm>& terms, bool training) const;
  void sum_over_world(std::vector<LossTerm>& terms) const;
  std::int64_t gradient_digest(std::size_t stage) const;

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
  std::vector<ShardTree> shard_trees_;  // of each of this rank's stages; reproducible mode
  AdamW optimizer_;
  PipelineRunner* runner_;  // of the last step
  std::unique_ptr<StepGraphs> graphs_;
};

}  // namespace lockstep
