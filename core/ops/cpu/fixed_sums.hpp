#pragma once

#include "core/ops/fixed_sums.hpp"

namespace lockstep::cpu {

void fixed_column_sums(Tensor& dbias, const Tensor& dy, const SumOrder& order);
void fixed_layer_norm_sums(Tensor& dweight,
                           Tensor& dbias,
                           const Tensor& dy,
                           const Tensor& x,
                           const Tensor& mean,
                           const Tensor& rstd,
                           const SumOrder& order);
void fixed_embedding_sums(Tensor& dtable,
                          const Tensor& dy,
                          const Tensor& ids,
                          index_t first_row,
                          const SumOrder& order);
void join_sums(Tensor& to, Tensor& from, const std::vector<Tensor>& joined);
double largest_magnitude(const Tensor& x);
SquareBins squares_in_bins(const Tensor& x, double largest);

}  // namespace lockstep::cpu
