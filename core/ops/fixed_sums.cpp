#include "core/ops/fixed_sums.hpp"

#include <algorithm>

#include "core/ops/cpu/fixed_sums.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {
namespace {

bool is_vector(const Tensor& v, index_t n, const Tensor& x) {
  return v.dtype() == x.dtype() && v.count() == n && v.contiguous();
}

}  // namespace

void fixed_column_sums(Tensor& dbias, const Tensor& dy, const SumOrder& order) {
  assert(is_vector(dbias, dy.columns(), dy) && order.count() == dy.rows());
  require_cpu(dy.device());
  const OpTimer timer(dy.device(), "fixed_column_sums");
  cpu::fixed_column_sums(dbias, dy, order);
}

void fixed_layer_norm_sums(Tensor& dweight,
                           Tensor& dbias,
                           const Tensor& dy,
                           const Tensor& x,
                           const Tensor& mean,
                           const Tensor& rstd,
                           const SumOrder& order) {
  assert(dy.shape() == x.shape() && order.count() == x.rows());
  assert(is_vector(mean, x.rows(), x) && is_vector(rstd, x.rows(), x));
  assert(is_vector(dweight, x.columns(), x));
  assert(!dbias.defined() || is_vector(dbias, x.columns(), x));
  require_cpu(dy.device());
  const OpTimer timer(dy.device(), "fixed_layer_norm_sums");
  cpu::fixed_layer_norm_sums(dweight, dbias, dy, x, mean, rstd, order);
}

void fixed_embedding_sums(Tensor& dtable,
                          const Tensor& dy,
                          const Tensor& ids,
                          index_t first_row,
                          const SumOrder& order) {
  assert(ids.dtype() == DType::i32 && ids.contiguous() && ids.count() == dy.rows());
  assert(dtable.dtype() == dy.dtype() && dtable.columns() == dy.columns());
  assert(order.count() == dy.rows());
  require_cpu(dy.device());
  const OpTimer timer(dy.device(), "fixed_embedding_sums");
  cpu::fixed_embedding_sums(dtable, dy, ids, first_row, order);
}

void join_sums(Tensor& to, Tensor& from, const std::vector<Tensor>& joined) {
  assert(is_vector(to, from.count(), from) && from.contiguous());
  assert(std::all_of(joined.begin(), joined.end(),
                     [&](const Tensor& part) { return is_vector(part, from.count(), from); }));
  require_cpu(from.device());
  const OpTimer timer(from.device(), "join_sums");
  cpu::join_sums(to, from, joined);
}

double largest_magnitude(const Tensor& x) {
  assert(x.contiguous());
  require_cpu(x.device());
  const OpTimer timer(x.device(), "largest_magnitude");
  return cpu::largest_magnitude(x);
}

SquareBins squares_in_bins(const Tensor& x, double largest) {
  assert(x.contiguous());
  require_cpu(x.device());
  const OpTimer timer(x.device(), "squares_in_bins");
  return cpu::squares_in_bins(x, largest);
}

}  // namespace lockstep
