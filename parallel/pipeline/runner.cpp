#include "parallel/pipeline/runner.hpp"

#include <algorithm>
#include <utility>

#include "core/error.hpp"
#include "parallel/pipeline/check.hpp"
#include "parallel/pipeline/forward_pass.hpp"
#include "parallel/pipeline/setting.hpp"
#include "parallel/pipeline/training_pass.hpp"

namespace lockstep {
namespace {

// When a pass throws, its receives may be of data that a neighbour will never send, and to destroy
// them would wait for ever: they are left as they are. The error ends the process and with it the
// other ranks.
template <typename P>
std::unique_ptr<P> execute(std::unique_ptr<P> pass) {
  try {
    pass->execute();
    return pass;
  } catch (...) {
    (void)pass.release();
    throw;
  }
}

std::vector<int> held_by(const Schedule& schedule, int rank) {
  std::vector<int> numbers;
  for (int v = 0; v < schedule.all_stages(); ++v) {
    if (schedule.rank_of(v) == rank) numbers.push_back(v);
  }
  return numbers;
}

// Messages of one tag must be received in the order they are sent.
void check_tags(const Schedule& schedule) {
  if (schedule.microbatches <= microbatches_with_own_tags(schedule.all_stages() - 1)) return;
  for (const std::vector<Action>& list : schedule.actions) {
    std::vector<int> next(3 * static_cast<std::size_t>(schedule.all_stages()));
    for (const Action& a : list) {
      const auto row = static_cast<std::size_t>(static_cast<int>(a.kind) * schedule.all_stages());
      int& due = next[row + static_cast<std::size_t>(a.stage)];
      require(a.microbatch >= due, "schedule ", schedule.name, " has ", schedule.microbatches,
              " microbatches, and not in order: at most ",
              microbatches_with_own_tags(schedule.all_stages() - 1),
              " can be in any order: make microbatches larger");
      due = a.microbatch;
    }
  }
}

}  // namespace

StageMap stage_map(const Schedule& schedule, const std::vector<LayerSpec>& layers) {
  std::vector<int> ranks;
  for (int v = 0; v < schedule.all_stages(); ++v) ranks.push_back(schedule.rank_of(v));
  return {cut_stages(layers, schedule.all_stages()), std::move(ranks)};
}

struct PipelineRunner::Parts {
  const Schedule schedule;
  const ActionPlaces places;
  const PipelineSetting setting;
  std::vector<TimedAction> timeline;
  std::size_t peak_saved_bytes = 0;

  Parts(const std::vector<Stage>& stages, Group& pp, Schedule made)
      : schedule(std::move(made)),
        places(schedule),
        setting{stages, pp, schedule, places, held_by(schedule, pp.rank())} {}
};

PipelineRunner::PipelineRunner(const std::vector<Stage>& stages,
                               const Topology& topology,
                               Schedule schedule) {
  require(schedule.stages == topology.degrees().pp, "--schedule ", schedule.name, " is made for ",
          schedule.stages, " stages, but --pp is ", topology.degrees().pp);
  require(schedule.virtual_stages == static_cast<int>(stages.size()), "--schedule ", schedule.name,
          " has ", schedule.virtual_stages, " stages per rank, the model is cut into ",
          stages.size());
  play(schedule);  // throws what would hang
  check_tags(schedule);
  parts_ = std::make_unique<Parts>(stages, topology.pp(), std::move(schedule));
}

PipelineRunner::~PipelineRunner() = default;

const std::vector<TimedAction>& PipelineRunner::timeline() const { return parts_->timeline; }
const Schedule& PipelineRunner::schedule() const { return parts_->schedule; }
std::size_t PipelineRunner::peak_saved_bytes() const { return parts_->peak_saved_bytes; }

PassSeconds PipelineRunner::run(const StepBatch& batch,
                                Context context,
                                const WeightsDone& weights_done,
                                ActionGraphs* graphs) {
  require(static_cast<int>(batch.microbatches.size()) == parts_->schedule.microbatches,
          "a step of ", batch.microbatches.size(), " microbatches does not fit a schedule of ",
          parts_->schedule.microbatches);
  const auto pass = execute(std::make_unique<TrainingPass>(parts_->setting, batch.microbatches,
                                                           context, weights_done, graphs));
  parts_->timeline = pass->take_timeline();
  parts_->peak_saved_bytes = std::max(parts_->peak_saved_bytes, pass->peak_saved_bytes());
  PassSeconds seconds;
  for (const TimedAction& timed : parts_->timeline) {
    const bool forward = timed.action.kind == Action::Kind::forward;
    (forward ? seconds.forward : seconds.backward) += timed.end - timed.asked;
  }
  return seconds;
}

void PipelineRunner::evaluate(const std::vector<Batch>& batches, Context context) {
  context.training = false;
  execute(std::make_unique<ForwardPass>(parts_->setting, batches, context));
}

}  // namespace lockstep
