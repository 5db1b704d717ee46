#include "core/model/unpad.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "tests/core/model/tiny.hpp"

namespace lockstep {
namespace {

constexpr index_t T = 8;

template <typename V>
std::vector<V> values(const Tensor& x) {
  return {x.data<V>(), x.data<V>() + x.count()};
}

// Lengths 8, 6 and 7.
Batch batch_of_three() { return test::tiny_batch(test::tiny_bert(), 3, T, true); }

TEST(Unpad, KeepsEachTokenWithWhatBelongsToIt) {
  const Batch padded = batch_of_three();

  const Batch batch = unpad(padded, 1);

  EXPECT_EQ(values<std::int64_t>(batch.row_starts), (std::vector<std::int64_t>{0, 8, 14, 21}));
  EXPECT_EQ(batch.rows(), 21);
  ASSERT_EQ(batch.tokens.count(), 21);
  ASSERT_EQ(batch.segments.count(), 21);
  for (index_t b = 0; b < 3; ++b) {
    const index_t first = batch.view().first_row(b);
    for (index_t t = 0; t < batch.view().first_row(b + 1) - first; ++t) {
      EXPECT_EQ(test::value_at(batch.tokens, first + t), test::value_at(padded.tokens, b * T + t));
      EXPECT_EQ(test::value_at(batch.segments, first + t),
                test::value_at(padded.segments, b * T + t));
    }
  }
  ASSERT_EQ(batch.target_rows.count(), padded.target_rows.count());
  for (index_t i = 0; i < batch.target_rows.count(); ++i) {
    const auto row = static_cast<index_t>(test::value_at(batch.target_rows, i));
    const auto old_row = static_cast<index_t>(test::value_at(padded.target_rows, i));
    EXPECT_EQ(row - batch.view().first_row(old_row / T), old_row % T);
  }
}

TEST(Unpad, FillsUpToAMultipleWithPaddingOfSamplesThatHaveSome) {
  const Batch batch = unpad(batch_of_three(), 2);

  EXPECT_EQ(values<std::int64_t>(batch.row_starts), (std::vector<std::int64_t>{0, 8, 15, 22}));
}

TEST(Unpad, GivesBackWhatHasNoPadding) {
  const Batch whole = test::tiny_batch(test::tiny_bert(), 3, T, false);

  EXPECT_FALSE(unpad(whole, 1).row_starts.defined());
  EXPECT_FALSE(unpad(batch_of_three(), 8).row_starts.defined());
  EXPECT_EQ(unpad(batch_of_three(), 8).rows(), 24);
}

}  // namespace
}  // namespace lockstep
