#include "core/optim/adamw.hpp"

#include <algorithm>

#include "core/ops/adamw.hpp"

namespace lockstep {
namespace {

// Ranges cut to the span; neighbours of one kind become one range, so that small parameters share a
// call.
std::vector<OptimizerView> clipped(Span span, const std::vector<OptimizerView>& views) {
  std::vector<OptimizerView> inside;
  [[maybe_unused]] index_t end = 0;
  for (const OptimizerView& view : views) {
    assert(view.first >= end && view.count >= 0);
    end = view.first + view.count;
    const index_t first = std::max(view.first, span.first);
    const index_t last = std::min(view.first + view.count, span.first + span.count);
    if (first >= last) continue;
    const bool joins = !inside.empty() && inside.back().decay == view.decay &&
                       inside.back().first + inside.back().count == first;
    if (joins) {
      inside.back().count += last - first;
    } else {
      inside.push_back({first, last - first, view.decay});
    }
  }
  return inside;
}

}  // namespace

AdamW::AdamW(Span own_span,
             std::vector<OptimizerView> views,
             DType dtype,
             Device device,
             AdamWConfig config)
    : span_(own_span),
      views_(clipped(own_span, views)),
      m_(Tensor::zeros({own_span.count}, dtype, device)),
      v_(Tensor::zeros({own_span.count}, dtype, device)),
      config_(config) {}

void AdamW::step(Tensor& values, const Tensor& gradients, index_t t, double rate, double scale) {
  assert(values.count() == gradients.count() && span_.first + span_.count <= values.count());
  for (const OptimizerView& view : views_) {
    Tensor value = values.range(view.first, view.count);
    Tensor m = m_.range(view.first - span_.first, view.count);
    Tensor v = v_.range(view.first - span_.first, view.count);
    adamw(value, m, v, gradients.range(view.first, view.count),
          {.rate = rate,
           .beta1 = config_.beta1,
           .beta2 = config_.beta2,
           .epsilon = config_.epsilon,
           .decay = view.decay ? config_.weight_decay : 0.0,
           .scale = scale,
           .t = t});
  }
}

}  // namespace lockstep
