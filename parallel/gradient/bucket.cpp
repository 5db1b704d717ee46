#include "parallel/gradient/bucket.hpp"

#include <algorithm>
#include <utility>

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

BucketSums::BucketSums(Tensor flat, Group& group, const char* what, Result result)
    : flat_(std::move(flat)), group_(&group), what_(what), result_(result) {
  if (group.size() == 1) return;
  const std::vector<Span> spans = cut_into_buckets(flat_.count(), flat_.dtype());
  for (auto span = spans.rbegin(); span != spans.rend(); ++span) buckets_.push_back({*span});
}

void BucketSums::release(index_t first) {
  const std::size_t before = num_released_;
  while (num_released_ < buckets_.size() && buckets_[num_released_].span.first >= first)
    ++num_released_;
  if (num_released_ == before) return;
  tickets_.push_back(start_waiting(flat_.device()));
  for (std::size_t i = before; i < num_released_; ++i) buckets_[i].released = tickets_.back();
}

void BucketSums::start_next() {
  const Bucket& bucket = buckets_[num_started_++];
  const Tensor part = flat_.range(bucket.span.first, bucket.span.count);
  in_flight_.push_back(result_ == Result::whole
                           ? group_->start_all_reduce(part, Reduce::sum, what_, bucket.released)
                           : group_->start_reduce_scatter(
                                 part, what_, {bucket.span.first, flat_.count()}, bucket.released));
}

void BucketSums::advance() {
  while (!in_flight_.empty() && in_flight_.front().done()) in_flight_.pop_front();
  while (num_started_ < num_released_ && in_flight_.size() < most_in_flight) start_next();
}

void BucketSums::finish() {
  release(0);
  while (num_started_ < buckets_.size()) {
    if (in_flight_.size() == most_in_flight) in_flight_.pop_front();
    start_next();
  }
  for (Pending& pending : in_flight_) pending.wait();
  in_flight_.clear();
  for (const CopyTicket ticket : tickets_) {  // to be forgotten
    while (!done(flat_.device(), ticket)) continue;
  }
  tickets_.clear();
}

void sum_in_buckets(const Tensor& flat, Group& group, const char* what) {
  BucketSums(flat, group, what).finish();
}

}  // namespace lockstep
