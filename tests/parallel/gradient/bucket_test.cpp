#include "parallel/gradient/bucket.hpp"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(CutIntoBuckets, CoversAllElementsInOrder) {
  constexpr index_t bucket = (2 << 20) / 4;
  for (const index_t n : {index_t{1}, bucket - 1, bucket, bucket + 1, 5 * bucket + 7}) {
    index_t next = 0;
    for (const Span& span : cut_into_buckets(n, DType::f32)) {
      EXPECT_EQ(span.first, next);
      EXPECT_GT(span.count, 0);
      EXPECT_LE(span.count, bucket);
      next += span.count;
    }

    EXPECT_EQ(next, n);
  }
}

TEST(CutIntoBuckets, HoldsTwoMebibytesOfAnyType) {
  EXPECT_EQ(cut_into_buckets(1 << 20, DType::f32).size(), 2u);
  EXPECT_EQ(cut_into_buckets(1 << 20, DType::f64).size(), 4u);
  EXPECT_TRUE(cut_into_buckets(0, DType::f64).empty());
}

TEST(SumInBuckets, IsTheIdentityInAGroupOfOne) {
  LocalGroup alone;
  Tensor x = Tensor::from<float>({1, 2, 3}, {3});

  sum_in_buckets(x, alone, "gradient");

  EXPECT_EQ(x.data<float>()[2], 3);
}

}  // namespace
}  // namespace lockstep
