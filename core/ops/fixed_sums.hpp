// Sums over rows, elements and buffers in an order that no layout changes (core/ops/sum_order.hpp);
// CPU. N rows, C columns. Chains are in the dtype of their terms, without fused multiply-adds. A
// single chain goes on from what the output holds; several chains overwrite it.
#pragma once

#include <array>
#include <vector>

#include "core/ops/sum_order.hpp"
#include "core/tensor.hpp"

namespace lockstep {

// dbias (C) = or += the sum over rows of dy (N, C).
void fixed_column_sums(Tensor& dbias, const Tensor& dy, const SumOrder& order);
// dweight (C): of dy xhat, xhat = (x - mean) rstd; dbias (C), when defined: of dy.
void fixed_layer_norm_sums(Tensor& dweight,
                           Tensor& dbias,
                           const Tensor& dy,
                           const Tensor& x,
                           const Tensor& mean,
                           const Tensor& rstd,
                           const SumOrder& order);
// dtable[ids[i] - first_row]: of dy[i]. Rows that no id names keep what they hold.
void fixed_embedding_sums(Tensor& dtable,
                          const Tensor& dy,
                          const Tensor& ids,
                          index_t first_row,
                          const SumOrder& order);

// to = joined[n - 1] + (... + (joined[0] + from)) elementwise; then from = 0, unless it is `to`.
// Flat.
void join_sums(Tensor& to, Tensor& from, const std::vector<Tensor>& joined);

// The largest |x|; 0 for none, NaN passed over. x flat.
double largest_magnitude(const Tensor& x);
// Sums of squares of elements up to `largest`, a bin for each of three ranges of bits: within a bin
// every sum of up to 2^36 terms is exact, so that neither order nor cut changes a bit (Demmel &
// Nguyen 2013, "Fast reproducible floating-point summation"). Bins of parts add up; the whole is
// bin 0 + (1 + 2). NaN makes NaN. x flat.
using SquareBins = std::array<double, 3>;
SquareBins squares_in_bins(const Tensor& x, double largest);

}  // namespace lockstep
