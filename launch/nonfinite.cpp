#include "launch/nonfinite.hpp"

#include <algorithm>
#include <limits>

#include "core/ops/elementwise.hpp"

namespace lockstep {
namespace {

// Order of the places a fault can begin at: weights, forward by position, backward from the head
// down, gradients of weights.
using Order = std::int64_t;
constexpr Order none = std::numeric_limits<Order>::max();
constexpr Order of_weights = 0, of_forward = 1, of_backward = Order{1} << 33,
                of_gradients = Order{1} << 34;

Order order_of(const ProbePoint& point) {
  const Order position = point.position;
  return point.backward ? of_backward + ProbePoint::head - position : of_forward + position;
}

std::string place_of(const ProbePoint& point) {
  const std::string op = point.position == ProbePoint::front || point.position == ProbePoint::head
                             ? std::string(point.op)
                             : build_string("layer ", point.position - 1, ", ", point.op);
  return op + (point.backward ? ", backward" : ", forward");
}

struct Finding {
  Order order = none;
  std::string place;

  void consider(Order candidate, const std::string& name) {
    if (candidate >= order) return;
    order = candidate;
    place = name;
  }
};

void look_at_parameters(Finding& finding, const ParameterStore& store, bool gradients) {
  for (const ParameterStore::Entry& entry : store.entries()) {
    const Parameter& parameter = entry.parameter;
    if (all_finite(gradients ? parameter.gradient : parameter.value)) continue;
    finding.consider(gradients ? of_gradients : of_weights,
                     build_string(gradients ? "gradient of " : "weight ", entry.row->name));
  }
}

Order lowest(Group& world, Order value) {
  Tensor order = Tensor::from(std::vector<std::int64_t>{value}, {1});
  world.all_reduce(order, Reduce::min, "control");
  return order.data<std::int64_t>()[0];
}

}  // namespace

std::string locate_nonfinite(const Environment& environment,
                             Trainer& trainer,
                             const StepBatch& batch,
                             std::int64_t step,
                             const std::vector<LossTerm>& terms) {
  Finding own;
  look_at_parameters(own, trainer.store(), false);
  const Probe probe = [&own](const ProbePoint& point, const Tensor& y) {
    if (order_of(point) < own.order && !all_finite(y))
      own.consider(order_of(point), place_of(point));
  };
  trainer.repeat_passes(batch, step, terms, probe);
  look_at_parameters(own, trainer.store(), true);

  Group& world = environment.world();
  const Order first = lowest(world, own.order);
  if (first == none) {
    return "no layer: computed again all numbers are finite, or only their sums over ranks are "
           "not; a processor or its memory may be faulty";
  }
  const Order speaker = lowest(world, own.order == first ? world.rank() : world.size());
  std::string place =
      build_string("rank ", world.rank(), " ", trainer.topology().tag(), ": ", own.place);
  broadcast_text(world, place, static_cast<int>(speaker));
  return place;
}

OnNonFinite NonFinitePolicy::decide(std::int64_t step, const std::string& what) {
  if (choice_ == OnNonFinite::stop) {
    fail(what,
         "; lower --learning-rate, set --clip-norm, or go on with --on-nonfinite skip or rewind");
  }
  const bool skips = choice_ == OnNonFinite::skip;
  faults_ = skips || step <= worst_step_ ? faults_ + 1 : 1;
  worst_step_ = std::max(worst_step_, step);
  if (skips && faults_ > most_skips)
    fail(what, "; --on-nonfinite skip gives up after ", most_skips, " steps in a row");
  if (!skips && faults_ > most_rewinds) {
    fail(what, "; --on-nonfinite rewind gives up: ", most_rewinds,
         " times it has not got past step ", worst_step_);
  }
  return choice_;
}

void NonFinitePolicy::finite(std::int64_t step) {
  if (choice_ == OnNonFinite::skip || step > worst_step_) faults_ = 0;
}

std::string NonFinitePolicy::count_text() const {
  return build_string(faults_, " of at most ",
                      choice_ == OnNonFinite::skip ? most_skips : most_rewinds);
}

}  // namespace lockstep
