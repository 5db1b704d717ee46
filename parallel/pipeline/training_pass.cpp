#include "parallel/pipeline/training_pass.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace lockstep {
namespace {

using Kind = Action::Kind;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

TrainingPass::TrainingPass(const PipelineSetting& setting,
                           const std::vector<Batch>& batches,
                           const Context& context,
                           const PipelineRunner::WeightsDone& weights_done,
                           ActionGraphs* graphs)
    : setting_(setting),
      batches_(batches),
      context_(context),
      weights_done_(weights_done),
      graphs_(graphs),
      last_weights_(setting.stages.size(), -1),
      flights_(batches.size() * setting.stages.size()),
      sent_(static_cast<std::size_t>(setting.schedule.stages)) {
  // A microbatch without samples does not travel: every stage leaves it out.
  for (const Action& a : setting.schedule.actions[static_cast<std::size_t>(setting.pp.rank())]) {
    if (batches[static_cast<std::size_t>(a.microbatch)].B == 0) continue;
    actions_.push_back(a);
    if (adds_weights(a)) last_weights_[setting.local(a.stage)] = a.microbatch;
  }
}

bool TrainingPass::adds_weights(const Action& a) const {
  return a.kind == (setting_.schedule.splits_backward ? Kind::backward_weight : Kind::backward);
}

void TrainingPass::execute() {
  for (std::size_t i = 0; i < actions_.size(); ++i) {
    post_receives(Kind::forward, i);
    post_receives(Kind::backward, i);
    const Action& a = actions_[i];
    TimedAction timed{a, now(), 0, 0};
    wait_for_input(a);
    timed.begin = now();
    if (graphs_ != nullptr) {
      graphs_->of(a.kind).run([&] { act(a); });
    } else {
      act(a);
    }
    timed.end = now();
    timeline_.push_back(timed);
    account(flight(a.stage, a.microbatch));
  }
  for (std::vector<Sent>& sent : sent_) {
    for (Sent& s : sent) s.transfer.wait();
  }
}

TrainingPass::Flight& TrainingPass::flight(int v, int m) {
  return flights_[static_cast<std::size_t>(m) * setting_.stages.size() + setting_.local(v)];
}

Context TrainingPass::context(const Action& a) const {
  Context context = context_;
  context.batch = batch(a.microbatch).view();
  context.last_weights = last_weights_[setting_.local(a.stage)] == a.microbatch;
  return context;
}

std::vector<TensorSpec> TrainingPass::border(int v, int m) const {
  return setting_.stage(v).border(batch(m).rows());
}

void TrainingPass::post_receives(Kind kind, std::size_t i) {
  std::size_t& next = next_post_[kind == Kind::forward ? 0 : 1];
  bool beyond = next > i + 1;
  for (; next < actions_.size() && !beyond; ++next) {
    if (actions_[next].kind != kind) continue;
    post(actions_[next]);
    beyond = next > i;
  }
}

void TrainingPass::post(const Action& a) {
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

void TrainingPass::account(Flight& f) {
  held_ -= f.saved_bytes;
  f.saved_bytes = f.saved ? Stage::bytes_of(*f.saved) : 0;
  held_ += f.saved_bytes;
  peak_ = std::max(peak_, held_);
}

void TrainingPass::wait_for_input(const Action& a) {
  if (a.kind == Kind::backward_weight) return;
  const bool forward = a.kind == Kind::forward;
  const int from = forward ? a.stage - 1 : a.stage + 1;
  Flight& f = flight(a.stage, a.microbatch);
  (forward ? f.input : f.gradient).wait();
  if (from >= 0 && from < setting_.all() && !setting_.here(from)) {
    release(setting_.peer(from), setting_.places.of(a.kind, from, a.microbatch));
  }
}

void TrainingPass::act(const Action& a) {
  if (a.kind == Kind::forward) {
    forward(a);
  } else if (a.kind == Kind::backward) {
    backward(a);
  } else {
    Flight& f = flight(a.stage, a.microbatch);
    setting_.stage(a.stage).backward_weight(batch(a.microbatch), *f.saved, context(a));
    f.saved.reset();
  }
  if (adds_weights(a) && weights_done_) weights_done_(setting_.local(a.stage), a.microbatch);
}

void TrainingPass::forward(const Action& a) {
  const int v = a.stage, m = a.microbatch;
  Flight& f = flight(v, m);
  const Stage& stage = setting_.stage(v);
  f.saved = stage.make_saved();
  Bundle output = stage.forward(batch(m), f.input.bundle, *f.saved, context(a));
  f.input.bundle = {};
  if (v + 1 == setting_.all()) return;
  if (setting_.here(v + 1)) {
    flight(v + 1, m).input.bundle = std::move(output);
  } else {
    send(v, m, std::move(output), Direction::onward);
  }
}

void TrainingPass::backward(const Action& a) {
  const int v = a.stage, m = a.microbatch;
  Flight& f = flight(v, m);
  const Stage& stage = setting_.stage(v);
  const bool split = setting_.schedule.splits_backward;
  Bundle dinput = split ? stage.backward_input(batch(m), f.gradient.bundle, *f.saved, context(a))
                        : stage.backward(batch(m), f.gradient.bundle, *f.saved, context(a));
  f.gradient.bundle = {};
  if (!split) f.saved.reset();
  if (v == 0) return;
  if (setting_.here(v - 1)) {
    flight(v - 1, m).gradient.bundle = std::move(dinput);
  } else {
    send(v, m, std::move(dinput), Direction::back);
  }
}

void TrainingPass::send(int v, int m, Bundle bundle, Direction direction) {
  const bool onward = direction == Direction::onward;
  const int to = onward ? v + 1 : v - 1, rank = setting_.peer(to);
  const std::size_t consumed_at =
      setting_.places.of(onward ? Kind::forward : Kind::backward, to, m);
  sent_[static_cast<std::size_t>(rank)].push_back(
      {consumed_at, start_send(setting_.pp, std::move(bundle), border(v, m), rank,
                               setting_.tag(onward ? v : v - 1, m, direction), direction)});
}

void TrainingPass::release(int rank, std::size_t position) {
  std::vector<Sent>& sent = sent_[static_cast<std::size_t>(rank)];
  const auto over = [&](Sent& s) {
    if (s.consumed_at > position) return false;
    s.transfer.wait();
    return true;
  };
  sent.erase(std::remove_if(sent.begin(), sent.end(), over), sent.end());
}

}  // namespace lockstep
