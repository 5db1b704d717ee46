// A flat buffer in buckets of 2 MiB: small enough that scratch is recycled and a bucket can travel
// while the next is summed, large enough that latency does not show. A bucket is a range of the
// buffer, whatever parameters lie in it.
#pragma once

#include <vector>

#include "core/group.hpp"

namespace lockstep {

// Adjacent spans that cover n elements in order; all but the last as long as 2 MiB allow.
std::vector<Span> cut_into_buckets(index_t n, DType dtype);

// flat becomes its sum over the group, bucket by bucket, a few at a time.
void sum_in_buckets(const Tensor& flat, Group& group, const char* what);

}  // namespace lockstep
