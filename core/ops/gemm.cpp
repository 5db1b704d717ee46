#include "core/ops/gemm.hpp"

#include "core/ops/activation.hpp"
#include "core/ops/bf16.hpp"
#include "core/ops/cpu/gemm.hpp"
#include "core/ops/cuda/gemm.hpp"
#include "core/ops/dispatch.hpp"
#include "core/ops/elementwise.hpp"

namespace lockstep {
namespace cpu {
namespace {

// Added while a tile of c is in registers.
bool gemm_bias(Tensor& c,
               const Tensor& a,
               Transpose transpose_a,
               const Tensor& b,
               Transpose transpose_b,
               const Tensor& bias) {
  cpu::gemm(c, a, transpose_a, b, transpose_b, Accumulate::no, bias);
  return true;
}

bool gemm_and_column_sums(Tensor&, Tensor&, const Tensor&, const Tensor&) { return false; }
bool gemm_gelu(Tensor&,
               Tensor&,
               const Tensor&,
               Transpose,
               const Tensor&,
               Transpose,
               const Tensor&) {
  return false;
}
bool gemm_gelu_gradient(Tensor&,
                        const Tensor&,
                        Transpose,
                        const Tensor&,
                        Transpose,
                        const Tensor&) {
  return false;
}
void time_products(Device, bool) {}
void multiply_in_tf32(Device, bool) {}

}  // namespace
}  // namespace cpu

namespace {

// (M, K) (K, N) -> (M, N) after the transposes, on one device; of one dtype, or bf16 -> f32.
bool fits(const Tensor& c,
          const Tensor& a,
          Transpose transpose_a,
          const Tensor& b,
          Transpose transpose_b) {
  const auto is_matrix = [&](const Tensor& x) {
    return x.shape().dims() == 2 && value_type(x.dtype()) == c.dtype() && x.device() == c.device();
  };
  if (a.dtype() != b.dtype()) return false;
  if (!is_matrix(a) || !is_matrix(b) || !is_matrix(c)) return false;
  const int a_swap = transpose_a == Transpose::yes ? 1 : 0,
            b_swap = transpose_b == Transpose::yes ? 1 : 0;
  return a.shape()[a_swap] == c.shape()[0] && b.shape()[1 - b_swap] == c.shape()[1] &&
         a.shape()[1 - a_swap] == b.shape()[b_swap];
}

double flops(const Tensor& c, const Tensor& a, Transpose transpose_a) {
  const index_t K = a.shape()[transpose_a == Transpose::yes ? 0 : 1];
  return 2.0 * static_cast<double>(c.count()) * static_cast<double>(K);
}

}  // namespace

void gemm(Tensor& c,
          const Tensor& a,
          Transpose transpose_a,
          const Tensor& b,
          Transpose transpose_b,
          Accumulate accumulate) {
  assert(fits(c, a, transpose_a, b, transpose_b));
  if (c.count() == 0) return;
  LOCKSTEP_OP_OF(flops(c, a, transpose_a), c.device(),
                 gemm(c, a, transpose_a, b, transpose_b, accumulate));
}

void gemm_fixed(Tensor& c,
                const Tensor& a,
                Transpose transpose_a,
                const Tensor& b,
                Transpose transpose_b,
                const SumOrder& order,
                Accumulate accumulate) {
  assert(fits(c, a, transpose_a, b, transpose_b));
  assert(order.count() == a.shape()[transpose_a == Transpose::yes ? 0 : 1]);
  assert(accumulate == Accumulate::no || order.num_chains() == 1);
  if (c.count() == 0) return;
  require_cpu(c.device());
  const OpTimer timer(c.device(), "gemm_fixed", flops(c, a, transpose_a));
  cpu::gemm_fixed(c, widened(a), transpose_a, widened(b), transpose_b, order, accumulate);
}

void gemm_bias(Tensor& c,
               const Tensor& a,
               Transpose transpose_a,
               const Tensor& b,
               Transpose transpose_b,
               const Tensor& bias) {
  assert(fits(c, a, transpose_a, b, transpose_b));
  assert(bias.dtype() == c.dtype() && bias.count() == c.columns() && bias.contiguous());
  if (c.count() == 0) return;
  if (LOCKSTEP_OP_OF(flops(c, a, transpose_a), c.device(),
                     gemm_bias(c, a, transpose_a, b, transpose_b, bias))) {
    return;
  }
  gemm(c, a, transpose_a, b, transpose_b);
  add_bias(c, bias);
}

void gemm_and_column_sums(Tensor& c, Tensor& sums, const Tensor& a, const Tensor& b) {
  assert(fits(c, a, Transpose::yes, b, Transpose::no));
  assert(sums.dtype() == c.dtype() && sums.count() == a.columns() && sums.contiguous());
  if (LOCKSTEP_DISPATCH(c.device(), gemm_and_column_sums(c, sums, a, b))) return;
  gemm(c, a, Transpose::yes, b, Transpose::no, Accumulate::yes);
  add_column_sums(sums, a);
}

void gemm_gelu(Tensor& c,
               Tensor& x,
               const Tensor& a,
               Transpose transpose_a,
               const Tensor& b,
               Transpose transpose_b,
               const Tensor& bias) {
  assert(fits(c, a, transpose_a, b, transpose_b) && fits(x, a, transpose_a, b, transpose_b));
  assert(!bias.defined() || (bias.count() == c.columns() && bias.contiguous()));
  if (c.count() == 0) return;
  if (LOCKSTEP_DISPATCH(c.device(), gemm_gelu(c, x, a, transpose_a, b, transpose_b, bias))) return;
  if (bias.defined()) {
    gemm_bias(x, a, transpose_a, b, transpose_b, bias);
  } else {
    gemm(x, a, transpose_a, b, transpose_b);
  }
  activation_forward(c, x, Tensor{}, Activation::gelu_tanh);
}

void gemm_gelu_gradient(Tensor& c,
                        const Tensor& a,
                        Transpose transpose_a,
                        const Tensor& b,
                        Transpose transpose_b,
                        const Tensor& x) {
  assert(fits(c, a, transpose_a, b, transpose_b) && fits(x, a, transpose_a, b, transpose_b));
  if (c.count() == 0) return;
  if (LOCKSTEP_DISPATCH(c.device(), gemm_gelu_gradient(c, a, transpose_a, b, transpose_b, x)))
    return;
  Tensor dy = Tensor::empty(c.shape(), c.dtype(), c.device());
  gemm(dy, a, transpose_a, b, transpose_b);
  activation_backward(c, dy, x, Tensor{}, Activation::gelu_tanh);
}

void time_products(Device device, bool on) { LOCKSTEP_DISPATCH(device, time_products(device, on)); }

void multiply_in_tf32(Device device, bool on) {
  LOCKSTEP_DISPATCH(device, multiply_in_tf32(device, on));
}

void gemm_reference(Tensor& c,
                    const Tensor& a,
                    Transpose transpose_a,
                    const Tensor& b,
                    Transpose transpose_b,
                    Accumulate accumulate) {
  assert(fits(c, a, transpose_a, b, transpose_b));
  require_cpu(c.device());
  cpu::gemm_reference(c, widened(a), transpose_a, widened(b), transpose_b, accumulate);
}

}  // namespace lockstep
