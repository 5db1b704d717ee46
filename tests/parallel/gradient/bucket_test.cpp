#include "parallel/gradient/bucket.hpp"

#include <vector>

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

// A group of two whose sums end when the test says so.
class SlowGroup final : public Group {
 public:
  int rank() const override { return 0; }
  int size() const override { return 2; }
  Pending start_all_reduce(Tensor x, Reduce, const char*, CopyTicket) override {
    firsts.push_back(x.data<float>() - base);
    const std::size_t number = firsts.size();
    return Pending([this, number] { waited.push_back(number); },
                   [this, number] { return number <= num_over; });
  }
  Pending start_reduce_scatter(Tensor x, const char*, Window of, CopyTicket) override {
    EXPECT_EQ(x.data<float>() - base, of.first);
    windows.push_back(of);
    return {};
  }
  Pending start_all_gather(Tensor, const char*) override { return {}; }
  Pending start_all_to_all(Tensor, Tensor, const char*) override { return {}; }
  Pending start_send(Tensor, int, int, const char*) override { return {}; }
  Pending start_receive(Tensor, int, int, const char*) override { return {}; }
  void broadcast(Tensor, int, const char*) override {}
  void barrier() override {}

  const float* base = nullptr;
  std::vector<index_t> firsts;  // of the sums started
  std::vector<Window> windows;
  std::size_t num_over = 0;
  std::vector<std::size_t> waited;
};

class BucketSumsOfAGroup : public testing::Test {
 protected:
  static constexpr index_t bucket = (2 << 20) / 4;

  BucketSumsOfAGroup() { group_.base = flat_.data<float>(); }

  Tensor flat_ = Tensor::zeros({9 * bucket + 1}, DType::f32);
  SlowGroup group_;
  BucketSums sums_{flat_, group_, "gradient"};
};

TEST_F(BucketSumsOfAGroup, StartWithTheEndOnceABucketIsWhole) {
  sums_.advance();
  EXPECT_TRUE(group_.firsts.empty());

  sums_.release(8 * bucket + 1);
  sums_.advance();
  EXPECT_EQ(group_.firsts, (std::vector<index_t>{9 * bucket}));

  sums_.release(8 * bucket);
  sums_.advance();
  EXPECT_EQ(group_.firsts, (std::vector<index_t>{9 * bucket, 8 * bucket}));
}

TEST_F(BucketSumsOfAGroup, AreAFewAtATimeAndNotWaitedFor) {
  sums_.release(0);
  sums_.advance();
  EXPECT_EQ(group_.firsts.size(), 4u);

  group_.num_over = 2;
  sums_.advance();
  EXPECT_EQ(group_.firsts.size(), 6u);
  EXPECT_EQ(group_.waited, (std::vector<std::size_t>{1, 2}));
}

TEST_F(BucketSumsOfAGroup, AreAllThereAtTheEnd) {
  sums_.release(7 * bucket);
  sums_.advance();
  sums_.finish();

  std::vector<index_t> all;
  for (index_t b = 9; b >= 0; --b) all.push_back(b * bucket);
  EXPECT_EQ(group_.firsts, all);
  EXPECT_EQ(group_.waited.size(), all.size());
}

TEST_F(BucketSumsOfAGroup, LeaveTheOwnSpanOfTheWholeBuffer) {
  BucketSums(flat_, group_, "gradient", BucketSums::Result::own_span).finish();

  ASSERT_EQ(group_.windows.size(), 10u);
  for (index_t b = 0; b < 10; ++b) {
    const Window& window = group_.windows[static_cast<std::size_t>(9 - b)];
    EXPECT_EQ(window.first, b * bucket);
    EXPECT_EQ(window.total, flat_.count());
  }
}

TEST(SumInBuckets, IsTheIdentityInAGroupOfOne) {
  LocalGroup alone;
  Tensor x = Tensor::from<float>({1, 2, 3}, {3});

  sum_in_buckets(x, alone, "gradient");

  EXPECT_EQ(x.data<float>()[2], 3);
}

}  // namespace
}  // namespace lockstep
