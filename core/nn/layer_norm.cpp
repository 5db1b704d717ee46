#include "core/nn/layer_norm.hpp"

#include <utility>

#include "core/ops/fixed_sums.hpp"
#include "core/ops/layer_norm.hpp"

namespace lockstep {

LayerNorm::LayerNorm(Parameter weight, Parameter bias, double epsilon)
    : weight_(std::move(weight)), bias_(std::move(bias)), epsilon_(epsilon) {
  assert(weight_.defined());
}

LayerNorm::LayerNorm(Parameter weight, Parameter bias, double epsilon, Group& tp, Rows rows)
    : LayerNorm(std::move(weight), std::move(bias), epsilon) {
  if (rows == Rows::cut) tp_ = &tp;
}

Tensor LayerNorm::forward(const Tensor& x, Saved& saved, const Context&) const {
  saved.x = x;
  saved.mean = Tensor::empty({x.rows()}, x.dtype(), x.device());
  saved.rstd = Tensor::empty({x.rows()}, x.dtype(), x.device());
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  layer_norm_forward(y, saved.mean, saved.rstd, x, weight_.value, bias_.value, epsilon_);
  return y;
}

Tensor LayerNorm::backward_input(const Tensor& dy, Saved& saved, const Context&) const {
  saved.dy = dy;
  Tensor dx = Tensor::empty(dy.shape(), dy.dtype(), dy.device());
  layer_norm_backward_input(dx, dy, saved.x, weight_.value, saved.mean, saved.rstd);
  return dx;
}

// A sum over rows in their order needs them all: shards are gathered, and each rank sums its
// columns of the whole; the sum over tp then only adds zeros.
void LayerNorm::add_fixed_gradients(const Saved& saved, const Summation& sums) const {
  Tensor dy = saved.dy, x = saved.x, mean = saved.mean, rstd = saved.rstd;
  Span own{0, x.columns()};
  if (tp_ != nullptr) {
    const auto gathered = [this](const Tensor& shard) {
      return gather_shards(shard, *tp_, "replicated");
    };
    const Shape column{mean.count(), 1};
    dy = gathered(dy);
    x = gathered(x);
    mean = gathered(mean.reshape(column));
    rstd = gathered(rstd.reshape(column));
    own = span_of(x.columns(), tp_->rank(), tp_->size());
  }
  Tensor dweight = weight_.gradient.range(own.first, own.count), dbias;
  if (bias_.defined()) dbias = bias_.gradient.range(own.first, own.count);
  fixed_layer_norm_sums(dweight, dbias, dy.column_range(own.first, own.count),
                        x.column_range(own.first, own.count), mean, rstd, sums.over_rows(x.rows()));
}

void LayerNorm::backward_weight(Saved& saved, const Context& context) const {
  Tensor dweight = weight_.gradient, dbias = bias_.gradient;
  if (context.sums.fixed) {
    add_fixed_gradients(saved, context.sums);
  } else {
    layer_norm_backward_weight(dweight, dbias, saved.dy, saved.x, saved.mean, saved.rstd);
  }
  saved = {};
}

}  // namespace lockstep
