// Executes one rank's actions of a schedule: receives, computes, sends. Nothing else: no sums, no
// optimizer.
#pragma once

#include <memory>
#include <vector>

#include "core/model/stage.hpp"
#include "parallel/pipeline/action.hpp"
#include "parallel/topology.hpp"

namespace lockstep {

// What this rank spent in forward and backward actions, waiting for its neighbours included.
struct PassSeconds {
  double forward = 0, backward = 0;
};

class PipelineRunner {
 public:
  // stage and topology must outlive the runner. schedule.stages == topology.degrees().pp.
  PipelineRunner(const Stage& stage,
                 const ModelConfig& config,
                 DType dtype,
                 const Topology& topology,
                 Schedule schedule);
  ~PipelineRunner();

  // F and B (and W) of every microbatch. Adds the sums of the loss terms on the last stage;
  // context.batch is set here. Receives are posted before they are needed, sends are waited for at
  // the end.
  PassSeconds run(const StepBatch& batch, Context context);
  // Forward only, in order, any number of microbatches; context.training false.
  void evaluate(const std::vector<Batch>& batches, Context context);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lockstep
