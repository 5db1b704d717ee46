#include "core/ops/layer_norm.hpp"

#include "core/ops/cpu/layer_norm.hpp"
#include "core/ops/cuda/layer_norm.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {
namespace {

bool same_kind(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.device() == b.device();
}

bool is_vector(const Tensor& v, index_t n, const Tensor& x) {
  return same_kind(v, x) && v.count() == n && v.contiguous();
}

}  // namespace

void layer_norm_forward(Tensor& y,
                        Tensor& mean,
                        Tensor& rstd,
                        const Tensor& x,
                        const Tensor& weight,
                        const Tensor& bias,
                        double eps) {
  assert(same_kind(y, x) && y.shape() == x.shape());
  assert(is_vector(mean, x.rows(), x) && is_vector(rstd, x.rows(), x));
  assert(is_vector(weight, x.columns(), x) && (!bias.defined() || is_vector(bias, x.columns(), x)));
  LOCKSTEP_OP(x.device(), layer_norm_forward(y, mean, rstd, x, weight, bias, eps));
}

void layer_norm_backward_input(Tensor& dx,
                               const Tensor& dy,
                               const Tensor& x,
                               const Tensor& weight,
                               const Tensor& mean,
                               const Tensor& rstd) {
  assert(same_kind(dx, x) && dx.shape() == x.shape() && same_kind(dy, x) &&
         dy.shape() == x.shape());
  assert(is_vector(weight, x.columns(), x));
  assert(is_vector(mean, x.rows(), x) && is_vector(rstd, x.rows(), x));
  LOCKSTEP_OP(x.device(), layer_norm_backward_input(dx, dy, x, weight, mean, rstd));
}

void layer_norm_backward_weight(Tensor& dweight,
                                Tensor& dbias,
                                const Tensor& dy,
                                const Tensor& x,
                                const Tensor& mean,
                                const Tensor& rstd) {
  assert(same_kind(dy, x) && dy.shape() == x.shape());
  assert(is_vector(dweight, x.columns(), x) &&
         (!dbias.defined() || is_vector(dbias, x.columns(), x)));
  assert(is_vector(mean, x.rows(), x) && is_vector(rstd, x.rows(), x));
  LOCKSTEP_OP(x.device(), layer_norm_backward_weight(dweight, dbias, dy, x, mean, rstd));
}

}  // namespace lockstep
