// A flat buffer in buckets of 2 MiB: small enough that scratch is recycled and a bucket can travel
// while the next is summed, large enough that latency does not show. A bucket is a range of the
// buffer, whatever parameters lie in it.
#pragma once

#include <deque>
#include <vector>

#include "core/group.hpp"

namespace lockstep {

// Adjacent spans that cover n elements in order; all but the last as long as 2 MiB allow.
std::vector<Span> cut_into_buckets(index_t n, DType dtype);

// A flat buffer becomes its sum over a group, a few buckets at a time, from its end to its
// beginning: as a backward pass finishes its gradients, beside which the sums go on (Li et al.
// 2020, PyTorch Distributed, section 3.2). All members sum the same buckets in the same order,
// however far each of them is.
class BucketSums {
 public:
  // whole: all members get all sums; own_span: each those of its span_of the buffer alone, and the
  // rest becomes undefined.
  enum class Result { whole, own_span };

  // The group must outlive this.
  BucketSums(Tensor flat, Group& group, const char* what, Result result = Result::whole);

  // The elements from `first` on are there once the ops asked for so far are done, and nobody
  // touches them until finish(). first: never more than before.
  void release(index_t first);
  void advance();  // what can be done without waiting
  void finish();   // releases the rest and waits for all

 private:
  struct Bucket {
    Span span;
    CopyTicket released = 0;
  };

  void start_next();

  Tensor flat_;
  Group* group_;
  const char* what_;
  Result result_;
  std::vector<Bucket> buckets_;  // in the order they are summed
  std::size_t num_released_ = 0, num_started_ = 0;
  std::vector<CopyTicket> tickets_;
  std::deque<Pending> in_flight_;
};

// All at once.
void sum_in_buckets(const Tensor& flat, Group& group, const char* what);

}  // namespace lockstep
