#include "data/cut_batch.hpp"

#include <numeric>

#include <gtest/gtest.h>

namespace lockstep {
namespace {

constexpr index_t B = 2, T = 8;

// Tokens count up; a target at every third row, whose id is 100 more than its token.
Batch whole_batch() {
  std::vector<std::int32_t> tokens(B * T), rows, ids;
  std::iota(tokens.begin(), tokens.end(), 0);
  for (std::int32_t row = 1; row < B * T; row += 3) {
    rows.push_back(row);
    ids.push_back(100 + row);
  }
  const auto n = static_cast<index_t>(rows.size());
  Batch batch;
  batch.B = B;
  batch.T = T;
  batch.tokens = Tensor::from(tokens, {B * T});
  batch.lengths = Tensor::from<std::int32_t>({8, 5}, {B});
  batch.sample_ids = Tensor::from<std::int64_t>({7, 8}, {B});
  batch.target_rows = Tensor::from(rows, {n});
  batch.target_ids = Tensor::from(ids, {n});
  batch.labels = Tensor::from<std::int32_t>({1, 0}, {B});
  return batch;
}

std::vector<std::int32_t> values(const Tensor& x) {
  return {x.data<std::int32_t>(), x.data<std::int32_t>() + x.count()};
}

TEST(CutBatch, ARankHoldsAChunkAndItsMirrorImage) {
  const Batch first = cut_batch(whole_batch(), {0, 2}), second = cut_batch(whole_batch(), {1, 2});

  EXPECT_EQ(first.T, 4);
  EXPECT_EQ(values(first.tokens), (std::vector<std::int32_t>{0, 1, 8, 9, 6, 7, 14, 15}));
  EXPECT_EQ(values(second.tokens), (std::vector<std::int32_t>{2, 3, 10, 11, 4, 5, 12, 13}));
  EXPECT_EQ(values(second.lengths), (std::vector<std::int32_t>{8, 5}));
}

TEST(CutBatch, TargetsStandWhereTheirTokenIs) {
  index_t targets = 0;
  for (int rank = 0; rank < 2; ++rank) {
    const Batch part = cut_batch(whole_batch(), {rank, 2});
    const std::vector<std::int32_t> tokens = values(part.tokens), rows = values(part.target_rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(part.target_ids.data<std::int32_t>()[i],
                100 + tokens[static_cast<std::size_t>(rows[i])]);
    }
    targets += part.target_rows.count();
  }
  EXPECT_EQ(targets, whole_batch().target_rows.count());
}

TEST(CutBatch, LabelsAreWherePositionZeroIs) {
  EXPECT_EQ(cut_batch(whole_batch(), {0, 2}).labels.count(), B);
  EXPECT_EQ(cut_batch(whole_batch(), {1, 2}).labels.count(), 0);
}

}  // namespace
}  // namespace lockstep
