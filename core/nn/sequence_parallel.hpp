// Rows of activations cut evenly over a group (sequence parallelism, Korthikanti et al. 2022): rank
// r of n holds rows span_of(N, r, n) of N. Each function is the other's gradient.
#pragma once

#include "core/group.hpp"

namespace lockstep {

// Whole: a rank holds all rows; cut: its shard.
enum class Rows { whole, cut };

// (N, C) from everybody's shard (N / n, C).
Tensor gather_shards(const Tensor& shard, Group& group, const char* what);
// This rank's shard (N / n, C) of the sum of everybody's partial (N, C), which is used up.
Tensor sum_to_shards(Tensor partial, Group& group, const char* what);
// This rank's shard of x, copied.
Tensor own_shard(const Tensor& x, const Group& group);

}  // namespace lockstep
