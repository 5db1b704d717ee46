#include "core/ops/elementwise.hpp"

#include "core/ops/cpu/elementwise.hpp"
#include "core/ops/cuda/elementwise.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {
namespace {

bool same_kind(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.device() == b.device();
}

bool alike(const Tensor& a, const Tensor& b) { return same_kind(a, b) && a.shape() == b.shape(); }

}  // namespace

void add(Tensor& y, const Tensor& a, const Tensor& b) {
  assert(alike(y, a) && alike(y, b));
  LOCKSTEP_OP(y.device(), add(y, a, b));
}

void add_bias(Tensor& y, const Tensor& bias) {
  assert(same_kind(y, bias) && bias.count() == y.columns() && bias.contiguous());
  LOCKSTEP_OP(y.device(), add_bias(y, bias));
}

void add_column_sums(Tensor& dbias, const Tensor& dy) {
  assert(dbias.dtype() == value_type(dy.dtype()) && dbias.device() == dy.device());
  assert(dbias.count() == dy.columns() && dbias.contiguous());
  LOCKSTEP_OP(dy.device(), add_column_sums(dbias, dy));
}

void tanh_forward(Tensor& y, const Tensor& x) {
  assert(alike(y, x));
  LOCKSTEP_OP(x.device(), tanh_forward(y, x));
}

void tanh_backward(Tensor& dx, const Tensor& dy, const Tensor& y) {
  assert(alike(dx, dy) && alike(dx, y));
  LOCKSTEP_OP(dy.device(), tanh_backward(dx, dy, y));
}

void scale(Tensor& x, double factor) { LOCKSTEP_OP(x.device(), scale(x, factor)); }

void gather_rows(Tensor& y, const Tensor& x, const Tensor& rows) {
  assert(same_kind(y, x) && y.columns() == x.columns() && y.rows() == rows.count());
  assert(rows.dtype() == DType::i32 && rows.contiguous());
  LOCKSTEP_OP(x.device(), gather_rows(y, x, rows));
}

void add_rows(Tensor& dx, const Tensor& dy, const Tensor& rows) {
  assert(same_kind(dx, dy) && dx.columns() == dy.columns() && dy.rows() == rows.count());
  assert(rows.dtype() == DType::i32 && rows.contiguous());
  LOCKSTEP_OP(dy.device(), add_rows(dx, dy, rows));
}

double sum_of_squares(const Tensor& x) {
  Tensor total = Tensor::zeros({1}, DType::f64, x.device());
  add_sum_of_squares(total, x);
  return total.to(Device{}).data<double>()[0];
}

void add_sum_of_squares(Tensor& total, const Tensor& x) {
  assert(x.contiguous() && total.dtype() == DType::f64 && total.count() == 1);
  assert(total.device() == x.device());
  LOCKSTEP_OP(x.device(), add_sum_of_squares(total, x));
}

bool all_finite(const Tensor& x) {
  assert(x.contiguous());
  return LOCKSTEP_OP(x.device(), all_finite(x));
}

void fill_normal(Tensor& x,
                 std::uint64_t key,
                 double stddev,
                 index_t row0,
                 index_t col0,
                 index_t width) {
  assert(row0 >= 0 && col0 >= 0 && col0 + x.columns() <= width);
  LOCKSTEP_OP(x.device(), fill_normal(x, key, stddev, row0, col0, width));
}

void fill(Tensor& x, double value) { LOCKSTEP_OP(x.device(), fill(x, value)); }

}  // namespace lockstep
