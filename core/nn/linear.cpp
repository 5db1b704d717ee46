#include "core/nn/linear.hpp"

#include <utility>

#include "core/ops/elementwise.hpp"
#include "core/ops/gemm.hpp"

namespace lockstep {

Linear::Linear(Parameter weight, Parameter bias, Split split, Group& tp, const char* what)
    : weight_(std::move(weight)), bias_(std::move(bias)), split_(split), tp_(&tp), what_(what) {
  assert(weight_.defined() && weight_.value.shape().dims() == 2);
  assert(!bias_.defined() || bias_.value.count() == weight_.value.rows());
}

Tensor Linear::forward(const Tensor& x, Saved& saved, const Context&) const {
  saved.x = x;
  Tensor y = Tensor::empty({x.rows(), weight_.value.rows()}, x.dtype(), x.device());
  // A sum over tp comes before the bias: each rank holds a part of x W^T but all of b.
  const bool bias_last = split_ == Split::input;
  if (bias_.defined() && !bias_last) {
    gemm_bias(y, x, Transpose::no, weight_.value, Transpose::yes, bias_.value);
  } else {
    gemm(y, x, Transpose::no, weight_.value, Transpose::yes);
  }
  if (bias_last) tp_->all_reduce(y, Reduce::sum, what_);
  if (bias_.defined() && bias_last) add_bias(y, bias_.value);
  return y;
}

Tensor Linear::backward_input(const Tensor& dy, Saved& saved, const Context&) const {
  saved.dy = dy;
  Tensor dx = Tensor::empty({dy.rows(), weight_.value.columns()}, dy.dtype(), dy.device());
  gemm(dx, dy, Transpose::no, weight_.value, Transpose::no);
  if (split_ == Split::output) tp_->all_reduce(dx, Reduce::sum, what_);
  return dx;
}

void Linear::backward_weight(Saved& saved, const Context&) const {
  Tensor dweight = weight_.gradient;
  gemm(dweight, saved.dy, Transpose::yes, saved.x, Transpose::no, Accumulate::yes);
  if (bias_.defined()) {
    Tensor dbias = bias_.gradient;
    add_column_sums(dbias, saved.dy);
  }
  saved = {};
}

}  // namespace lockstep
