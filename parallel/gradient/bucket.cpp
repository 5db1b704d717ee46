#include "parallel/gradient/bucket.hpp"

#include <algorithm>
#include <deque>

namespace lockstep {
namespace {

constexpr index_t bucket_bytes = index_t{2} << 20;
// Bounds the scratch of the sums to this many buckets.
constexpr std::size_t most_in_flight = 4;

}  // namespace

std::vector<Span> cut_into_buckets(index_t n, DType dtype) {
  const index_t length = bucket_bytes / static_cast<index_t>(size_of(dtype));
  std::vector<Span> buckets;
  for (index_t first = 0; first < n; first += length) {
    buckets.push_back({first, std::min(length, n - first)});
  }
  return buckets;
}

void sum_in_buckets(const Tensor& flat, Group& group, const char* what) {
  std::deque<Pending> in_flight;
  for (const Span& bucket : cut_into_buckets(flat.count(), flat.dtype())) {
    if (in_flight.size() == most_in_flight) in_flight.pop_front();
    in_flight.push_back(
        group.start_all_reduce(flat.range(bucket.first, bucket.count), Reduce::sum, what));
  }
  for (Pending& pending : in_flight) pending.wait();
}

}  // namespace lockstep
