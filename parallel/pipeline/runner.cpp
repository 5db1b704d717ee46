#include "parallel/pipeline/runner.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <deque>
#include <utility>

#include "core/error.hpp"
#include "parallel/pipeline/check.hpp"
#include "parallel/pipeline/transfer.hpp"

namespace lockstep {
namespace {

using Kind = Action::Kind;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Where each F and B stands in the list of its rank.
class Places {
 public:
  explicit Places(const Schedule& schedule) : stages_(schedule.all_stages()) {
    at_.resize(2 * static_cast<std::size_t>(stages_) *
               static_cast<std::size_t>(schedule.microbatches));
    for (const std::vector<Action>& list : schedule.actions) {
      for (std::size_t i = 0; i < list.size(); ++i) {
        const Action& a = list[i];
        if (a.kind != Kind::backward_weight) at_[index(a.kind, a.stage, a.microbatch)] = i;
      }
    }
  }
  std::size_t of(Kind kind, int stage, int microbatch) const {
    return at_[index(kind, stage, microbatch)];
  }

 private:
  std::size_t index(Kind kind, int stage, int microbatch) const {
    const std::size_t pair =
        static_cast<std::size_t>(microbatch) * 2 + (kind == Kind::forward ? 0u : 1u);
    return pair * static_cast<std::size_t>(stages_) + static_cast<std::size_t>(stage);
  }

  int stages_;
  std::vector<std::size_t> at_;
};

// What a rank needs besides the batches; lives as long as the runner.
struct Setting {
  const std::vector<Stage>& stages;  // this rank's
  Group& pp;
  const Schedule& schedule;
  const Places& places;
  std::vector<int> numbers;  // the virtual stage that each of `stages` is

  int all() const { return schedule.all_stages(); }
  std::size_t local(int v) const {
    const auto found = std::find(numbers.begin(), numbers.end(), v);
    assert(found != numbers.end());
    return static_cast<std::size_t>(found - numbers.begin());
  }
  const Stage& stage(int v) const { return stages[local(v)]; }
  int peer(int v) const { return schedule.rank_of(v); }
  bool here(int v) const { return peer(v) == pp.rank(); }
  // border: between virtual stages border and border + 1.
  int tag(int border, int m, Direction direction) const {
    return transfer_tag(border, all() - 1, m, direction);
  }
};

// One training pass over a step's microbatches.
class Pass {
 public:
  Pass(const Setting& setting,
       const std::vector<Batch>& batches,
       const Context& context,
       const PipelineRunner::WeightsDone& weights_done)
      : setting_(setting),
        batches_(batches),
        context_(context),
        weights_done_(weights_done),
        flights_(batches.size() * setting.stages.size()),
        sent_(static_cast<std::size_t>(setting.schedule.stages)) {
    // A microbatch without samples does not travel: every stage leaves it out.
    for (const Action& a : setting.schedule.actions[static_cast<std::size_t>(setting.pp.rank())]) {
      if (batches[static_cast<std::size_t>(a.microbatch)].B > 0) actions_.push_back(a);
    }
  }

  void execute() {
    for (std::size_t i = 0; i < actions_.size(); ++i) {
      post_receives(Kind::forward, i);
      post_receives(Kind::backward, i);
      const Action& a = actions_[i];
      TimedAction timed{a, now(), 0, 0};
      wait_for_input(a);
      timed.begin = now();
      act(a);
      timed.end = now();
      timeline_.push_back(timed);
      account(flight(a.stage, a.microbatch));
    }
    for (std::vector<Sent>& sent : sent_) {
      for (Sent& s : sent) s.transfer.wait();
    }
  }

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
  Flight& flight(int v, int m) {
    return flights_[static_cast<std::size_t>(m) * setting_.stages.size() + setting_.local(v)];
  }
  Context context(int m) const {
    Context context = context_;
    context.batch = batch(m).view();
    return context;
  }
  std::vector<TensorSpec> border(int v, int m) const {
    return setting_.stage(v).border(batch(m).B, batch(m).T);
  }

  // What the action at position i receives, and what the next action of its kind does: that data
  // then lands while this rank computes.
  void post_receives(Kind kind, std::size_t i) {
    std::size_t& next = next_post_[kind == Kind::forward ? 0 : 1];
    bool beyond = next > i + 1;
    for (; next < actions_.size() && !beyond; ++next) {
      if (actions_[next].kind != kind) continue;
      post(actions_[next]);
      beyond = next > i;
    }
  }

  void post(const Action& a) {
    const int v = a.stage, m = a.microbatch;
    if (a.kind == Kind::forward && v > 0 && !setting_.here(v - 1)) {
      flight(v, m).input =
          start_receive(setting_.pp, border(v, m), setting_.peer(v - 1),
                        setting_.tag(v - 1, m, Direction::onward), Direction::onward);
    }
    if (a.kind == Kind::backward && v + 1 < setting_.all() && !setting_.here(v + 1)) {
      flight(v, m).gradient = start_receive(setting_.pp, border(v, m), setting_.peer(v + 1),
                                            setting_.tag(v, m, Direction::back), Direction::back);
    }
  }

  void account(Flight& f) {
    held_ -= f.saved_bytes;
    f.saved_bytes = f.saved ? Stage::bytes_of(*f.saved) : 0;
    held_ += f.saved_bytes;
    peak_ = std::max(peak_, held_);
  }

  void wait_for_input(const Action& a) {
    if (a.kind == Kind::backward_weight) return;
    const bool forward = a.kind == Kind::forward;
    const int from = forward ? a.stage - 1 : a.stage + 1;
    Flight& f = flight(a.stage, a.microbatch);
    (forward ? f.input : f.gradient).wait();
    if (from >= 0 && from < setting_.all() && !setting_.here(from)) {
      release(setting_.peer(from), setting_.places.of(a.kind, from, a.microbatch));
    }
  }

  void act(const Action& a) {
    const bool has_weights =
        a.kind == (setting_.schedule.splits_backward ? Kind::backward_weight : Kind::backward);
    if (a.kind == Kind::forward) {
      forward(a.stage, a.microbatch);
    } else if (a.kind == Kind::backward) {
      backward(a.stage, a.microbatch);
    } else {
      Flight& f = flight(a.stage, a.microbatch);
      setting_.stage(a.stage).backward_weight(batch(a.microbatch), *f.saved, context(a.microbatch));
      f.saved.reset();
    }
    if (has_weights && weights_done_) weights_done_(setting_.local(a.stage), a.microbatch);
  }

  void forward(int v, int m) {
    Flight& f = flight(v, m);
    const Stage& stage = setting_.stage(v);
    f.saved = stage.make_saved();
    Bundle output = stage.forward(batch(m), f.input.bundle, *f.saved, context(m));
    f.input.bundle = {};
    if (v + 1 == setting_.all()) return;
    if (setting_.here(v + 1)) {
      flight(v + 1, m).input.bundle = std::move(output);
    } else {
      send(v, m, std::move(output), Direction::onward);
    }
  }

  void backward(int v, int m) {
    Flight& f = flight(v, m);
    const Stage& stage = setting_.stage(v);
    const bool split = setting_.schedule.splits_backward;
    Bundle dinput = split ? stage.backward_input(batch(m), f.gradient.bundle, *f.saved, context(m))
                          : stage.backward(batch(m), f.gradient.bundle, *f.saved, context(m));
    f.gradient.bundle = {};
    if (!split) f.saved.reset();
    if (v == 0) return;
    if (setting_.here(v - 1)) {
      flight(v - 1, m).gradient.bundle = std::move(dinput);
    } else {
      send(v, m, std::move(dinput), Direction::back);
    }
  }

  void send(int v, int m, Bundle bundle, Direction direction) {
    const bool onward = direction == Direction::onward;
    const int to = onward ? v + 1 : v - 1, rank = setting_.peer(to);
    const std::size_t consumed_at =
        setting_.places.of(onward ? Kind::forward : Kind::backward, to, m);
    sent_[static_cast<std::size_t>(rank)].push_back(
        {consumed_at, start_send(setting_.pp, std::move(bundle), border(v, m), rank,
                                 setting_.tag(onward ? v : v - 1, m, direction), direction)});
  }

  // What came from an action at `position` of a rank's list shows that this rank has received all
  // that its actions up to there need: those sends are over, and their memory can go without a
  // wait.
  void release(int rank, std::size_t position) {
    std::vector<Sent>& sent = sent_[static_cast<std::size_t>(rank)];
    const auto over = [&](Sent& s) {
      if (s.consumed_at > position) return false;
      s.transfer.wait();
      return true;
    };
    sent.erase(std::remove_if(sent.begin(), sent.end(), over), sent.end());
  }

  const Setting& setting_;
  const std::vector<Batch>& batches_;
  const Context& context_;
  const PipelineRunner::WeightsDone& weights_done_;
  std::vector<Action> actions_;
  std::vector<Flight> flights_;  // by microbatch, then stage
  std::vector<TimedAction> timeline_;
  std::size_t held_ = 0, peak_ = 0;  // bytes saved, between actions
  // First action whose receive is not posted, of forwards and of backwards.
  std::array<std::size_t, 2> next_post_{};
  std::vector<std::vector<Sent>> sent_;  // by receiving rank
};

// One evaluation: microbatches flow onward, nothing comes back. In groups: a group passes a rank's
// first stage, then its second, so that ranks with several stages work at the same time.
class ForwardPass {
 public:
  ForwardPass(const Setting& setting, const std::vector<Batch>& batches, const Context& context)
      : setting_(setting), context_(context) {
    for (const Batch& batch : batches) {
      if (batch.B > 0) batches_.push_back(&batch);
    }
    // A group's sends are waited for before the group after next begins: never by a rank whose work
    // the receiver still needs.
    const std::size_t together =
        setting.stages.size() == 1 ? 2 : 2 * static_cast<std::size_t>(setting.schedule.stages);
    for (std::size_t first = 0; first < batches_.size(); first += together) {
      for (const int v : setting.numbers) {
        for (std::size_t m = first; m < std::min(first + together, batches_.size()); ++m) {
          visits_.push_back({first / together, v, m});
        }
      }
    }
  }

  void execute() {
    Transfer next = post(0);
    for (std::size_t i = 0; i < visits_.size(); ++i) {
      Transfer input = std::move(next);
      next = post(i + 1);
      input.wait();
      forward(visits_[i], input.bundle);
    }
    for (auto& sent : sent_) sent.second.wait();
  }

 private:
  struct Visit {
    std::size_t group;
    int v;
    std::size_t m;
  };

  std::vector<TensorSpec> border(const Visit& visit) const {
    const Batch& batch = *batches_[visit.m];
    return setting_.stage(visit.v).border(batch.B, batch.T);
  }
  int tag(int border, const Visit& visit) const {
    return setting_.tag(border, static_cast<int>(visit.m), Direction::onward);
  }

  Transfer post(std::size_t i) const {
    if (i >= visits_.size()) return {};
    const Visit& visit = visits_[i];
    if (visit.v == 0 || setting_.here(visit.v - 1)) return {};
    return start_receive(setting_.pp, border(visit), setting_.peer(visit.v - 1),
                         tag(visit.v - 1, visit), Direction::onward);
  }

  void forward(const Visit& visit, const Bundle& received) {
    while (!sent_.empty() && sent_.front().first + 1 < visit.group) {
      sent_.front().second.wait();
      sent_.pop_front();
    }
    const Stage& stage = setting_.stage(visit.v);
    Context context = context_;
    context.batch = batches_[visit.m]->view();
    const Stage::SavedHandle saved = stage.make_saved();
    const bool handed = visit.v > 0 && setting_.here(visit.v - 1);
    Bundle output =
        stage.forward(*batches_[visit.m], handed ? take(visit.m) : received, *saved, context);
    if (visit.v + 1 == setting_.all()) return;
    if (setting_.here(visit.v + 1)) {
      handed_.push_back({visit.m, std::move(output)});
    } else {
      sent_.emplace_back(visit.group, start_send(setting_.pp, std::move(output), border(visit),
                                                 setting_.peer(visit.v + 1), tag(visit.v, visit),
                                                 Direction::onward));
    }
  }

  // Handed over in the order of a group, and taken in the same.
  Bundle take(std::size_t m) {
    assert(!handed_.empty() && handed_.front().first == m);
    (void)m;
    Bundle bundle = std::move(handed_.front().second);
    handed_.pop_front();
    return bundle;
  }

  const Setting& setting_;
  const Context& context_;
  std::vector<const Batch*> batches_;
  std::vector<Visit> visits_;
  std::deque<std::pair<std::size_t, Transfer>> sent_;  // by group
  std::deque<std::pair<std::size_t, Bundle>> handed_;  // microbatch, to a stage of this rank
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
  const Places places;
  const Setting setting;
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
                                const WeightsDone& weights_done) {
  require(static_cast<int>(batch.microbatches.size()) == parts_->schedule.microbatches,
          "a step of ", batch.microbatches.size(), " microbatches does not fit a schedule of ",
          parts_->schedule.microbatches);
  const auto pass =
      execute(std::make_unique<Pass>(parts_->setting, batch.microbatches, context, weights_done));
  parts_->timeline = pass->take_timeline();
  parts_->peak_saved_bytes = std::max(parts_->peak_saved_bytes, pass->peak_saved_bytes());
  PassSeconds seconds;
  for (const TimedAction& timed : parts_->timeline) {
    const bool forward = timed.action.kind == Kind::forward;
    (forward ? seconds.forward : seconds.backward) += timed.end - timed.asked;
  }
  return seconds;
}

void PipelineRunner::evaluate(const std::vector<Batch>& batches, Context context) {
  context.training = false;
  execute(std::make_unique<ForwardPass>(parts_->setting, batches, context));
}

}  // namespace lockstep
