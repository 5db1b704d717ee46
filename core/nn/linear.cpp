#include "core/nn/linear.hpp"

#include <utility>

#include "core/nn/ordered_rows.hpp"
#include "core/ops/bf16.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/fixed_sums.hpp"
#include "core/ops/gemm.hpp"

namespace lockstep {

Tensor operand_of(const Tensor& x, const Parameter& weight) {
  if (!weight.rounded.defined()) return x;
  Tensor rounded = Tensor::empty(x.shape(), DType::bf16, x.device());
  round_to_bf16(rounded, x);
  return rounded;
}

void add_weight_gradient(Tensor& dweight,
                         Tensor& dbias,
                         const Tensor& dy,
                         const Tensor& x,
                         const Context& context) {
  if (!context.sums.fixed) {
    if (dbias.defined()) return gemm_and_column_sums(dweight, dbias, dy, x);
    return gemm(dweight, dy, Transpose::yes, x, Transpose::no, Accumulate::yes);
  }
  const OrderedRows rows(context);
  const Tensor all_dy = rows.whole(dy), all_x = rows.whole(x);
  const Span own = rows.own(dweight.rows());
  if (own.count == 0) return;
  const Tensor own_dy = all_dy.column_range(own.first, own.count);
  Tensor own_dweight = dweight.range(own.first, own.count);
  const bool goes_on = rows.order().num_chains() == 1;
  gemm_fixed(own_dweight, own_dy, Transpose::yes, all_x, Transpose::no, rows.order(),
             goes_on ? Accumulate::yes : Accumulate::no);
  if (!dbias.defined()) return;
  Tensor own_dbias = dbias.range(own.first, own.count);
  fixed_column_sums(own_dbias, widened(own_dy), rows.order());
}

Linear::Linear(Parameter weight,
               Parameter bias,
               Split split,
               Group& tp,
               Rows rows,
               const char* what,
               index_t parts)
    : weight_(std::move(weight)),
      bias_(std::move(bias)),
      split_(split),
      rows_(split == Split::none ? Rows::whole : rows),
      tp_(&tp),
      what_(what),
      parts_(parts) {
  assert(weight_.defined() && weight_.value.shape().dims() == 2);
  assert(!bias_.defined() || bias_.value.count() == weight_.value.rows());
}

bool Linear::gathers(Split split) const { return rows_ == Rows::cut && split_ == split; }

template <typename F>
Tensor Linear::summed(const Tensor& partial, F meanwhile) const {
  Pending sum = rows_ == Rows::cut
                    ? tp_->start_reduce_scatter(partial.reshape({partial.count()}), what_)
                    : tp_->start_all_reduce(partial, Reduce::sum, what_);
  meanwhile();
  sum.wait();
  return rows_ == Rows::cut ? own_shard(partial, *tp_) : partial;
}

bool Linear::weights_behind_sum(const Context& context) const {
  return context.weights_follow && split_ == Split::output && tp_->size() > 1;
}

// Only a sum that tp cuts is a tree; the others are whole on a rank.
SumOrder Linear::order_of(Split cut, index_t count, index_t parts, const Context& context) const {
  if (split_ != cut) return SumOrder::chain(count);
  return context.sums.over_features(count, tp_->size(), parts);
}

Tensor Linear::read_input(const Tensor& x, Saved& saved) const {
  saved.x = operand(x);
  return gathers(Split::output) ? gather_shards(saved.x, *tp_, what_) : saved.x;
}

void Linear::read_gradient(const Tensor& dy, Saved& saved) const {
  const Tensor read = operand(dy);
  saved.dy = gathers(Split::input) ? gather_shards(read, *tp_, what_) : read;
}

Tensor Linear::multiplied(const Tensor& x,
                          const Tensor& bias,
                          Saved& saved,
                          const Context& context) const {
  const Tensor read = read_input(x, saved);
  Tensor y = Tensor::empty({read.rows(), weight_.value.rows()}, x.dtype(), x.device());
  if (context.sums.fixed) {
    gemm_fixed(y, read, Transpose::no, weight_.operand(), Transpose::yes,
               order_of(Split::input, read.columns(), 1, context));
  } else if (bias.defined()) {
    gemm_bias(y, read, Transpose::no, weight_.operand(), Transpose::yes, bias);
  } else {
    gemm(y, read, Transpose::no, weight_.operand(), Transpose::yes);
  }
  return split_ == Split::input ? summed(y, [] {}) : y;
}

Tensor Linear::forward(const Tensor& x, Saved& saved, const Context& context) const {
  // A sum over tp comes before the bias: each rank holds a part of x W^T but all of b.
  const bool at_once = split_ != Split::input && !context.sums.fixed;
  if (at_once) return multiplied(x, bias(), saved, context);
  return biased(forward_unbiased(x, saved, context));
}

Tensor Linear::biased(Tensor y) const {
  if (bias().defined()) add_bias(y, bias());
  return y;
}

Tensor Linear::forward_unbiased(const Tensor& x, Saved& saved, const Context& context) const {
  return multiplied(x, Tensor{}, saved, context);
}

Tensor Linear::forward_gelu(const Tensor& x, Tensor& before, Saved& saved) const {
  assert(split_ != Split::input);
  const Tensor read = read_input(x, saved);
  before = Tensor::empty({read.rows(), weight_.value.rows()}, x.dtype(), x.device());
  Tensor y = Tensor::empty(before.shape(), x.dtype(), x.device());
  gemm_gelu(y, before, read, Transpose::no, weight_.operand(), Transpose::yes, bias());
  return y;
}

Tensor Linear::backward_gelu(const Tensor& dy, const Tensor& before, Saved& saved) const {
  assert(split_ != Split::output);
  read_gradient(dy, saved);
  Tensor dx = Tensor::empty(before.shape(), dy.dtype(), dy.device());
  gemm_gelu_gradient(dx, saved.dy, Transpose::no, weight_.operand(), Transpose::no, before);
  return dx;
}

Tensor Linear::backward_input(const Tensor& dy, Saved& saved, const Context& context) const {
  read_gradient(dy, saved);
  Tensor dx = Tensor::empty({saved.dy.rows(), weight_.value.columns()}, dy.dtype(), dy.device());
  if (context.sums.fixed) {
    gemm_fixed(dx, saved.dy, Transpose::no, weight_.operand(), Transpose::no,
               order_of(Split::output, dy.columns(), parts_, context));
  } else {
    gemm(dx, saved.dy, Transpose::no, weight_.operand(), Transpose::no);
  }
  context.op_done();
  if (split_ != Split::output) return dx;
  return summed(dx, [&] {
    if (weights_behind_sum(context)) add_gradients(saved, context);
  });
}

void Linear::backward_weight(Saved& saved, const Context& context) const {
  if (!weights_behind_sum(context)) add_gradients(saved, context);
}

void Linear::add_gradients(Saved& saved, const Context& context) const {
  if (gathers(Split::output)) saved.x = gather_shards(saved.x, *tp_, what_);
  Tensor dweight = weight_.gradient, dbias = bias_.gradient;
  add_weight_gradient(dweight, dbias, saved.dy, saved.x, context);
  saved = {};
  context.op_done();
}

}  // namespace lockstep
