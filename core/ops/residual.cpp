#include "core/ops/residual.hpp"

#include "core/ops/cpu/residual.hpp"
#include "core/ops/cuda/residual.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {
namespace {

bool same_kind(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.device() == b.device();
}

bool alike(const Tensor& a, const Tensor& b) { return same_kind(a, b) && a.shape() == b.shape(); }

bool is_vector(const Tensor& v, index_t n, const Tensor& x) {
  return same_kind(v, x) && v.count() == n && v.contiguous();
}

bool may_be_vector(const Tensor& v, index_t n, const Tensor& x) {
  return !v.defined() || is_vector(v, n, x);
}

}  // namespace

void residual_forward(Tensor& sum,
                      const Tensor& x,
                      const Tensor& bias,
                      const Tensor& residual,
                      const DropoutSpec& dropout) {
  assert(alike(sum, x) && alike(residual, x) && covers(dropout, x));
  assert(may_be_vector(bias, x.columns(), x));
  LOCKSTEP_OP(x.device(), residual_forward(sum, x, bias, residual, dropout));
}

void residual_norm_forward(Tensor& sum,
                           Tensor& y,
                           Tensor& mean,
                           Tensor& rstd,
                           const Tensor& x,
                           const Tensor& bias,
                           const Tensor& residual,
                           const Tensor& weight,
                           const Tensor& norm_bias,
                           double eps,
                           const DropoutSpec& dropout) {
  assert(alike(sum, x) && alike(y, x) && alike(residual, x) && covers(dropout, x));
  assert(is_vector(mean, x.rows(), x) && is_vector(rstd, x.rows(), x));
  assert(is_vector(weight, x.columns(), x) && may_be_vector(norm_bias, x.columns(), x) &&
         may_be_vector(bias, x.columns(), x));
  LOCKSTEP_OP(x.device(), residual_norm_forward(sum, y, mean, rstd, x, bias, residual, weight,
                                                norm_bias, eps, dropout));
}

void residual_norm_backward(Tensor& dsum,
                            Tensor& dx,
                            const Tensor& dy,
                            const Tensor& other,
                            const Tensor& sum,
                            const Tensor& weight,
                            const Tensor& mean,
                            const Tensor& rstd,
                            const DropoutSpec& dropout) {
  assert(alike(dsum, sum) && alike(dy, sum) && (!other.defined() || alike(other, sum)));
  assert(!dx.defined() || (alike(dx, sum) && covers(dropout, sum)));
  assert(is_vector(weight, sum.columns(), sum));
  assert(is_vector(mean, sum.rows(), sum) && is_vector(rstd, sum.rows(), sum));
  LOCKSTEP_OP(sum.device(),
              residual_norm_backward(dsum, dx, dy, other, sum, weight, mean, rstd, dropout));
}

}  // namespace lockstep
