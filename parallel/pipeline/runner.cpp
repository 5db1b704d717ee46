#include "parallel/pipeline/runner.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <utility>

#include "core/error.hpp"
#include "parallel/pipeline/check.hpp"

namespace lockstep {
namespace {

using Kind = Action::Kind;

enum Direction { onward, back };  // activations to the next stage, gradients to the one before

// A bundle under way to or from a neighbour. Destroyed last to first: the parts wait, then the
// memory goes.
struct Transfer {
  Bundle bundle;
  std::vector<Pending> parts;  // one per member

  void wait() {
    for (Pending& part : parts) part.wait();
  }
};

Tensor& member(Bundle& bundle, const std::string& name) {
  if (name == "x") return bundle.x;
  if (name == "memory") return bundle.memory;
  assert(name == "g");
  return bundle.g;
}

// Matching is in order per tag, so tags of a long evaluation may come round again.
int tag_of(int microbatch, Direction direction) {
  constexpr int most = 1 << 14;  // every MPI allows tags up to 32767
  return 2 * (microbatch % most) + direction;
}

bool crosses(const TensorSpec& spec, Direction direction) {
  return direction == onward || spec.differentiable;
}

Transfer start_send(Group& pp,
                    Bundle bundle,
                    const std::vector<TensorSpec>& border,
                    int to,
                    int tag,
                    Direction direction) {
  Transfer transfer{std::move(bundle), {}};
  for (const TensorSpec& spec : border) {
    if (!crosses(spec, direction)) continue;
    Tensor& x = member(transfer.bundle, spec.name);
    if (!x.contiguous()) x = x.clone();
    transfer.parts.push_back(pp.start_send(x, to, tag, "stage"));
  }
  return transfer;
}

Transfer start_receive(Group& pp,
                       const std::vector<TensorSpec>& border,
                       int from,
                       int tag,
                       Direction direction) {
  Transfer transfer;
  for (const TensorSpec& spec : border) {
    if (!crosses(spec, direction)) continue;
    Tensor& x = member(transfer.bundle, spec.name);
    x = Tensor::empty(spec.shape, spec.dtype);
    transfer.parts.push_back(pp.start_receive(x, from, tag, "stage"));
  }
  return transfer;
}

// Where each F and B stands in a rank's list.
class Places {
 public:
  Places() = default;
  Places(const std::vector<Action>& actions, int microbatches) : M_(microbatches) {
    at_.resize(2 * static_cast<std::size_t>(microbatches));
    for (std::size_t i = 0; i < actions.size(); ++i) {
      if (actions[i].kind != Kind::backward_weight)
        at_[index(actions[i].kind, actions[i].microbatch)] = i;
    }
  }
  std::size_t of(Kind kind, int microbatch) const { return at_[index(kind, microbatch)]; }

 private:
  std::size_t index(Kind kind, int microbatch) const {
    return static_cast<std::size_t>(kind == Kind::forward ? microbatch : M_ + microbatch);
  }

  int M_ = 0;
  std::vector<std::size_t> at_;
};

// What a rank needs besides the batches; lives as long as the runner.
struct Setting {
  const Stage& stage;
  const ModelConfig& config;
  DType dtype;
  Group& pp;
  const Schedule& schedule;
  const Places& before;  // the lists of the neighbours
  const Places& after;
};

// One training pass over a step's microbatches.
class Pass {
 public:
  Pass(const Setting& setting, const std::vector<Batch>& batches, const Context& context)
      : setting_(setting), batches_(batches), context_(context), flights_(batches.size()) {
    // A microbatch without samples does not travel: every stage leaves it out.
    for (const Action& a : setting.schedule.actions[static_cast<std::size_t>(setting.pp.rank())]) {
      if (batches[static_cast<std::size_t>(a.microbatch)].B > 0) actions_.push_back(a);
    }
  }

  void execute() {
    for (std::size_t i = 0; i < actions_.size(); ++i) {
      post_receives(Kind::forward, i);
      post_receives(Kind::backward, i);
      const auto begin = std::chrono::steady_clock::now();
      act(actions_[i]);
      const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
      (actions_[i].kind == Kind::forward ? seconds_.forward : seconds_.backward) += spent.count();
    }
    for (std::deque<Sent>& sent : sent_) {
      for (Sent& s : sent) s.transfer.wait();
    }
  }

  PassSeconds seconds() const { return seconds_; }

 private:
  // What a microbatch holds on this rank between its first and its last action.
  struct Flight {
    Transfer input, gradient;
    Stage::SavedHandle saved;
  };
  struct Sent {
    std::size_t consumed_at;  // position of the action in the neighbour's list that receives it
    Transfer transfer;
  };

  Flight& flight(int m) { return flights_[static_cast<std::size_t>(m)]; }
  const Batch& batch(int m) const { return batches_[static_cast<std::size_t>(m)]; }
  Context context(int m) const {
    Context context = context_;
    context.batch = batch(m).view();
    return context;
  }
  std::vector<TensorSpec> border(int m) const {
    return Stage::border(setting_.config, batch(m).B, batch(m).T, setting_.dtype);
  }

  // Posts what actions of this kind up to position i receive, and one more beyond it: the
  // neighbour's data then lands while this rank computes.
  void post_receives(Kind kind, std::size_t i) {
    std::size_t& next = next_post_[kind == Kind::forward ? onward : back];
    bool beyond = next > i + 1;
    for (; next < actions_.size() && !beyond; ++next) {
      if (actions_[next].kind != kind) continue;
      post(actions_[next]);
      beyond = next > i;
    }
  }

  void post(const Action& a) {
    const int m = a.microbatch, rank = setting_.pp.rank();
    if (a.kind == Kind::forward && !setting_.stage.first()) {
      flight(m).input = start_receive(setting_.pp, border(m), rank - 1, tag_of(m, onward), onward);
    }
    if (a.kind == Kind::backward && !setting_.stage.last()) {
      flight(m).gradient = start_receive(setting_.pp, border(m), rank + 1, tag_of(m, back), back);
    }
  }

  void act(const Action& a) {
    if (a.kind == Kind::forward) {
      forward(a.microbatch);
    } else if (a.kind == Kind::backward) {
      backward(a.microbatch);
    } else {
      setting_.stage.backward_weight(batch(a.microbatch), *flight(a.microbatch).saved,
                                     context(a.microbatch));
      flight(a.microbatch).saved.reset();
    }
  }

  void forward(int m) {
    Flight& f = flight(m);
    f.input.wait();
    if (!setting_.stage.first()) release(back, setting_.before.of(Kind::forward, m));
    f.saved = setting_.stage.make_saved();
    Bundle output = setting_.stage.forward(batch(m), f.input.bundle, *f.saved, context(m));
    f.input.bundle = {};
    if (!setting_.stage.last())
      send(m, std::move(output), onward, setting_.after.of(Kind::forward, m));
  }

  void backward(int m) {
    Flight& f = flight(m);
    f.gradient.wait();
    if (!setting_.stage.last()) release(onward, setting_.after.of(Kind::backward, m));
    const bool split = setting_.schedule.splits_backward;
    Bundle dinput =
        split ? setting_.stage.backward_input(batch(m), f.gradient.bundle, *f.saved, context(m))
              : setting_.stage.backward(batch(m), f.gradient.bundle, *f.saved, context(m));
    f.gradient.bundle = {};
    if (!split) f.saved.reset();
    if (!setting_.stage.first())
      send(m, std::move(dinput), back, setting_.before.of(Kind::backward, m));
  }

  void send(int m, Bundle bundle, Direction direction, std::size_t consumed_at) {
    const int to = setting_.pp.rank() + (direction == onward ? 1 : -1);
    sent_[direction].push_back({consumed_at, start_send(setting_.pp, std::move(bundle), border(m),
                                                        to, tag_of(m, direction), direction)});
  }

  // What came from a neighbour's action at `position` shows that it has received all that its
  // earlier actions need: those sends are over, and their memory can go without a wait.
  void release(Direction direction, std::size_t position) {
    std::deque<Sent>& sent = sent_[direction];
    while (!sent.empty() && sent.front().consumed_at <= position) {
      sent.front().transfer.wait();
      sent.pop_front();
    }
  }

  const Setting& setting_;
  const std::vector<Batch>& batches_;
  const Context& context_;
  std::vector<Action> actions_;
  std::vector<Flight> flights_;  // by microbatch
  PassSeconds seconds_;
  std::array<std::size_t, 2>
      next_post_{};                       // first action whose receive is not posted, by direction
  std::array<std::deque<Sent>, 2> sent_;  // in order, by direction
};

// One evaluation: microbatches flow onward, nothing comes back.
class ForwardPass {
 public:
  ForwardPass(const Setting& setting, const std::vector<Batch>& batches, const Context& context)
      : setting_(setting), context_(context) {
    for (const Batch& batch : batches) {
      if (batch.B > 0) batches_.push_back(&batch);
    }
  }

  void execute() {
    Transfer next = post(0);
    for (std::size_t m = 0; m < batches_.size(); ++m) {
      Transfer input = std::move(next);
      next = post(m + 1);
      input.wait();
      forward(m, input.bundle);
    }
    for (Transfer& sent : sent_) sent.wait();
  }

 private:
  // Sends under way: with two, a neighbour that is still at the microbatch before holds nobody up.
  static constexpr std::size_t most_sent = 2;

  std::vector<TensorSpec> border(std::size_t m) const {
    return Stage::border(setting_.config, batches_[m]->B, batches_[m]->T, setting_.dtype);
  }

  Transfer post(std::size_t m) const {
    if (setting_.stage.first() || m >= batches_.size()) return {};
    return start_receive(setting_.pp, border(m), setting_.pp.rank() - 1,
                         tag_of(static_cast<int>(m), onward), onward);
  }

  void forward(std::size_t m, const Bundle& input) {
    Context context = context_;
    context.batch = batches_[m]->view();
    const Stage::SavedHandle saved = setting_.stage.make_saved();
    Bundle output = setting_.stage.forward(*batches_[m], input, *saved, context);
    if (setting_.stage.last()) return;
    if (sent_.size() == most_sent) {
      sent_.front().wait();
      sent_.pop_front();
    }
    sent_.push_back(start_send(setting_.pp, std::move(output), border(m), setting_.pp.rank() + 1,
                               tag_of(static_cast<int>(m), onward), onward));
  }

  const Setting& setting_;
  const Context& context_;
  std::vector<const Batch*> batches_;
  std::deque<Transfer> sent_;
};

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

}  // namespace

struct PipelineRunner::Parts {
  const ModelConfig config;
  const Schedule schedule;
  Places before, after;
  Setting setting;

  Parts(const Stage& stage, const ModelConfig& model, DType dtype, Group& pp, Schedule made)
      : config(model), schedule(std::move(made)), setting{stage,    config, dtype, pp,
                                                          schedule, before, after} {
    const auto rank = static_cast<std::size_t>(pp.rank());
    if (rank > 0) before = Places(schedule.actions[rank - 1], schedule.microbatches);
    if (rank + 1 < schedule.actions.size())
      after = Places(schedule.actions[rank + 1], schedule.microbatches);
  }
};

PipelineRunner::PipelineRunner(const Stage& stage,
                               const ModelConfig& config,
                               DType dtype,
                               const Topology& topology,
                               Schedule schedule) {
  require(schedule.virtual_stages == 1, "--schedule ", schedule.name, " has ",
          schedule.virtual_stages, " stages per rank, a run has one: choose --schedule 1f1b");
  require(schedule.stages == topology.degrees().pp, "--schedule ", schedule.name, " is made for ",
          schedule.stages, " stages, but --pp is ", topology.degrees().pp);
  play(schedule);  // throws what would hang
  parts_ = std::make_unique<Parts>(stage, config, dtype, topology.pp(), std::move(schedule));
}

PipelineRunner::~PipelineRunner() = default;

PassSeconds PipelineRunner::run(const StepBatch& batch, Context context) {
  require(static_cast<int>(batch.microbatches.size()) == parts_->schedule.microbatches,
          "a step of ", batch.microbatches.size(), " microbatches does not fit a schedule of ",
          parts_->schedule.microbatches);
  return execute(std::make_unique<Pass>(parts_->setting, batch.microbatches, context))->seconds();
}

void PipelineRunner::evaluate(const std::vector<Batch>& batches, Context context) {
  context.training = false;
  execute(std::make_unique<ForwardPass>(parts_->setting, batches, context));
}

}  // namespace lockstep
