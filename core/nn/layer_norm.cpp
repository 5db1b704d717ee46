#include "core/nn/layer_norm.hpp"

#include <utility>

#include "core/nn/ordered_rows.hpp"
#include "core/nn/sequence_parallel.hpp"
#include "core/ops/fixed_sums.hpp"
#include "core/ops/layer_norm.hpp"
#include "core/ops/residual.hpp"

namespace lockstep {

LayerNorm::LayerNorm(Parameter weight, Parameter bias, double epsilon, Group* tp)
    : weight_(std::move(weight)), bias_(std::move(bias)), epsilon_(epsilon), tp_(tp) {
  assert(weight_.defined());
}

Tensor LayerNorm::prepare(const Tensor& x, Saved& saved) const {
  saved.x = x;
  saved.mean = Tensor::empty({x.rows()}, x.dtype(), x.device());
  saved.rstd = Tensor::empty({x.rows()}, x.dtype(), x.device());
  return Tensor::empty(x.shape(), x.dtype(), x.device());
}

Tensor LayerNorm::forward(const Tensor& x, Saved& saved, const Context&) const {
  Tensor y = prepare(x, saved);
  layer_norm_forward(y, saved.mean, saved.rstd, x, weight_.value, bias_.value, epsilon_);
  return y;
}

Tensor LayerNorm::backward_input(const Tensor& dy, Saved& saved, const Context&) const {
  saved.dy = dy;
  Tensor dx = Tensor::empty(dy.shape(), dy.dtype(), dy.device());
  layer_norm_backward_input(dx, dy, saved.x, weight_.value, saved.mean, saved.rstd);
  return dx;
}

Tensor LayerNorm::forward_sum(Tensor& branch,
                              const Tensor& bias,
                              const Tensor& residual,
                              DropoutSite dropout,
                              Saved& saved,
                              const Context& context) const {
  Tensor y = prepare(branch, saved);
  for_dropout_runs(
      branch.rows(), dropout, context, [&](index_t first, index_t rows, const DropoutSpec& spec) {
        Tensor sum = branch.range(first, rows), normed = y.range(first, rows);
        Tensor mean = saved.mean.range(first, rows), rstd = saved.rstd.range(first, rows);
        residual_norm_forward(sum, normed, mean, rstd, sum, bias, residual.range(first, rows),
                              weight_.value, bias_.value, epsilon_, spec);
      });
  return y;
}

Tensor LayerNorm::backward_input(const Tensor& dy,
                                 const Tensor& other,
                                 Saved& saved,
                                 const Context&) const {
  saved.dy = dy;
  Tensor dx = Tensor::empty(dy.shape(), dy.dtype(), dy.device()), none;
  residual_norm_backward(dx, none, dy, other, saved.x, weight_.value, saved.mean, saved.rstd, {});
  return dx;
}

LayerNorm::SumGradients LayerNorm::backward_sum(const Tensor& dy,
                                                const Tensor& other,
                                                DropoutSite dropout,
                                                Saved& saved,
                                                const Context& context) const {
  saved.dy = dy;
  SumGradients d;
  d.residual = d.branch = Tensor::empty(dy.shape(), dy.dtype(), dy.device());
  const bool drops = context.training && dropout.probability > 0;
  if (drops) d.branch = Tensor::empty(dy.shape(), dy.dtype(), dy.device());
  for_dropout_runs(
      dy.rows(), dropout, context, [&](index_t first, index_t rows, const DropoutSpec& spec) {
        const auto part = [&](const Tensor& x) {
          return x.defined() ? x.range(first, rows) : Tensor{};
        };
        Tensor dsum = part(d.residual), dx = drops ? part(d.branch) : Tensor{};
        residual_norm_backward(dsum, dx, part(dy), part(other), part(saved.x), weight_.value,
                               part(saved.mean), part(saved.rstd), spec);
      });
  return d;
}

// A sum over rows in their order needs them all: shards are gathered, and each rank sums its
// columns of the whole; the sum over tp then only adds zeros.
void LayerNorm::add_fixed_gradients(const Saved& saved, const Context& context) const {
  const OrderedRows rows(context);
  const auto whole = [&](const Tensor& x) {
    return rows.whole(tp_ == nullptr ? x : gather_shards(x, *tp_, "replicated"));
  };
  const Shape column{saved.mean.count(), 1};
  const Tensor dy = whole(saved.dy), x = whole(saved.x);
  const Tensor mean = whole(saved.mean.reshape(column)), rstd = whole(saved.rstd.reshape(column));
  const Span own =
      tp_ == nullptr ? rows.own(x.columns()) : rows.own(x.columns(), tp_->rank(), tp_->size());
  if (own.count == 0) return;
  Tensor dweight = weight_.gradient.range(own.first, own.count), dbias;
  if (bias_.defined()) dbias = bias_.gradient.range(own.first, own.count);
  fixed_layer_norm_sums(dweight, dbias, dy.column_range(own.first, own.count),
                        x.column_range(own.first, own.count), mean, rstd, rows.order());
}

void LayerNorm::backward_weight(Saved& saved, const Context& context) const {
  Tensor dweight = weight_.gradient, dbias = bias_.gradient;
  if (context.sums.fixed) {
    add_fixed_gradients(saved, context);
  } else {
    layer_norm_backward_weight(dweight, dbias, saved.dy, saved.x, saved.mean, saved.rstd);
  }
  saved = {};
}

}  // namespace lockstep
