// One training pass of a rank over the microbatches of a step: its actions of the schedule.
#pragma once

#include <array>
#include <utility>
#include <vector>

#include "parallel/pipeline/runner.hpp"
#include "parallel/pipeline/setting.hpp"

namespace lockstep {

class TrainingPass {
 public:
  TrainingPass(const PipelineSetting& setting,
               const std::vector<Batch>& batches,
               const Context& context,
               const PipelineRunner::WeightsDone& weights_done,
               ActionGraphs* graphs);

  void execute();

  std::vector<TimedAction> take_timeline() { return std::move(timeline_); }
  std::size_t peak_saved_bytes() const { return peak_; }

 private:
  // What a microbatch holds of a stage between its first and its last action.
  struct Flight {
    Transfer input, gradient;
    Stage::SavedHandle saved;
    std::size_t saved_bytes = 0;  // as last accounted
  };
  struct Sent {
    std::size_t consumed_at;  // position of the action in the receiver's list that takes it
    Transfer transfer;
  };

  const Batch& batch(int m) const { return batches_[static_cast<std::size_t>(m)]; }
  Flight& flight(int v, int m);
  bool adds_weights(const Action& a) const;  // whether its gradients of weights are done with it
  Context context(const Action& a) const;
  std::vector<TensorSpec> border(int v, int m) const;

  // What the action at position i receives, and what the next action of its kind does: that data
  // then lands while this rank computes.
  void post_receives(Action::Kind kind, std::size_t i);

  void post(const Action& a);
  void account(Flight& f);
  void wait_for_input(const Action& a);
  void act(const Action& a);
  void forward(const Action& a);
  void backward(const Action& a);
  void send(int v, int m, Bundle bundle, Direction direction);

  // What came from an action at `position` of a rank's list shows that this rank has received all
  // that its actions up to there need: those sends are over, and their memory can go without a
  // wait.
  void release(int rank, std::size_t position);

  const PipelineSetting& setting_;
  const std::vector<Batch>& batches_;
  const Context& context_;
  const PipelineRunner::WeightsDone& weights_done_;
  ActionGraphs* graphs_;  // null: none
  std::vector<Action> actions_;
  std::vector<int> last_weights_;  // of this rank's stages: the microbatch that adds last
  std::vector<Flight> flights_;    // by microbatch, then stage
  std::vector<TimedAction> timeline_;
  std::size_t held_ = 0, peak_ = 0;  // bytes saved, between actions
  // First action whose receive is not posted, of forwards and of backwards.
  std::array<std::size_t, 2> next_post_{};
  std::vector<std::vector<Sent>> sent_;  // by receiving rank
};

}  // namespace lockstep
