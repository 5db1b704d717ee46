#include "core/nn/linear.hpp"

#include <utility>

#include "core/ops/elementwise.hpp"
#include "core/ops/gemm.hpp"

namespace lockstep {

Linear::Linear(Parameter weight,
               Parameter bias,
               Split split,
               Group& tp,
               Rows rows,
               const char* what)
    : weight_(std::move(weight)),
      bias_(std::move(bias)),
      split_(split),
      rows_(split == Split::none ? Rows::whole : rows),
      tp_(&tp),
      what_(what) {
  assert(weight_.defined() && weight_.value.shape().dims() == 2);
  assert(!bias_.defined() || bias_.value.count() == weight_.value.rows());
}

bool Linear::gathers(Split split) const { return rows_ == Rows::cut && split_ == split; }

Tensor Linear::summed(Tensor partial) const {
  if (rows_ == Rows::cut) return sum_to_shards(std::move(partial), *tp_, what_);
  tp_->all_reduce(partial, Reduce::sum, what_);
  return partial;
}

Tensor Linear::forward(const Tensor& x, Saved& saved, const Context&) const {
  saved.x = x;
  const Tensor read = gathers(Split::output) ? gather_shards(x, *tp_, what_) : x;
  Tensor y = Tensor::empty({read.rows(), weight_.value.rows()}, x.dtype(), x.device());
  gemm(y, read, Transpose::no, weight_.value, Transpose::yes);
  if (split_ == Split::input) y = summed(y);
  if (bias_.defined()) add_bias(y, bias_.value);
  return y;
}

Tensor Linear::backward_input(const Tensor& dy, Saved& saved, const Context&) const {
  saved.dy = gathers(Split::input) ? gather_shards(dy, *tp_, what_) : dy;
  Tensor dx = Tensor::empty({saved.dy.rows(), weight_.value.columns()}, dy.dtype(), dy.device());
  gemm(dx, saved.dy, Transpose::no, weight_.value, Transpose::no);
  return split_ == Split::output ? summed(dx) : dx;
}

void Linear::backward_weight(Saved& saved, const Context&) const {
  if (gathers(Split::output)) saved.x = gather_shards(saved.x, *tp_, what_);
  Tensor dweight = weight_.gradient;
  gemm(dweight, saved.dy, Transpose::yes, saved.x, Transpose::no, Accumulate::yes);
  if (bias_.defined()) {
    Tensor dbias = bias_.gradient;
    add_column_sums(dbias, saved.dy);
  }
  saved = {};
}

}  // namespace lockstep
