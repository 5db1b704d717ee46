// Executes one rank's actions of a schedule: receives, computes, sends. Nothing else: no sums, no
// optimizer. A rank may hold several virtual stages; what passes between two of its own is handed
// over. Receives are posted before they are needed and no send is waited for before its receiver
// has it, so every schedule that play() accepts runs to its end.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/model/stage.hpp"
#include "core/op_graph.hpp"
#include "parallel/pipeline/action.hpp"
#include "parallel/topology.hpp"

namespace lockstep {

// What this rank spent in forward and backward actions, waiting for its neighbours included.
struct PassSeconds {
  double forward = 0, backward = 0;
};

// An action as it ran, in seconds of std::chrono::steady_clock: its input is waited for from
// `asked` to `begin`.
struct TimedAction {
  Action action;
  double asked = 0, begin = 0, end = 0;
};

// The cut of a model for the ranks that a schedule places its stages on.
StageMap stage_map(const Schedule& schedule, const std::vector<LayerSpec>& layers);

// A rank's actions as graphs, by kind; the next one is noted while the last one runs. For a rank
// alone: what waits for others cannot be noted.
struct ActionGraphs {
  ActionGraphs() = default;  // off
  explicit ActionGraphs(Device device) : forward(device), backward(device), weights(device) {}

  OpGraph& of(Action::Kind kind) {
    if (kind == Action::Kind::forward) return forward;
    return kind == Action::Kind::backward ? backward : weights;
  }

  OpGraph forward, backward, weights;
};

class PipelineRunner {
 public:
  // stages: this rank's virtual stages, in model order. stages and topology must outlive the
  // runner. schedule.stages == topology.degrees().pp.
  PipelineRunner(const std::vector<Stage>& stages, const Topology& topology, Schedule schedule);
  ~PipelineRunner();

  // After the weight gradients of a microbatch of one of `stages`; microbatches come in order.
  using WeightsDone = std::function<void(std::size_t stage, int microbatch)>;

  // F and B (and W) of every microbatch. Adds the sums of the loss terms where the last stage is,
  // on a GPU unread; context.batch is set here.
  PassSeconds run(const StepBatch& batch,
                  Context context,
                  const WeightsDone& weights_done = {},
                  ActionGraphs* graphs = nullptr);
  const std::vector<TimedAction>& timeline() const;  // of the last run
  const Schedule& schedule() const;
  // The most that was kept between two passes of any run so far (Stage::bytes_of), in bytes.
  std::size_t peak_saved_bytes() const;
  // Forward only, any number of microbatches; context.training false.
  void evaluate(const std::vector<Batch>& batches, Context context);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lockstep
