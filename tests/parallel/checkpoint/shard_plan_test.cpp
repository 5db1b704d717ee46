#include "parallel/tensor/shard_plan.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "core/random.hpp"

namespace lockstep {
namespace {

// Numbers drawn from a counter: the same in every run.
class Draws {
 public:
  index_t below(index_t n) {
    return static_cast<index_t>(mix(1, count_++) % static_cast<std::uint64_t>(n));
  }

 private:
  std::uint64_t count_ = 0;
};

ParameterRow row_of(index_t rows, index_t columns, index_t padded_rows, Cut cut) {
  ParameterRow row;
  row.name = "w";
  row.shape = columns == 1 ? Shape{rows} : Shape{rows, columns};
  row.padded_rows = padded_rows;
  row.cut = cut;
  return row;
}

TEST(ShardPlan, ASpanIsTheRestOfARowWholeRowsAndTheStartOfARow) {
  const ParameterRow row = row_of(6, 8, 6, {Cut::Kind::dim, 1});
  // Columns 4-7 of the matrix, at element 100 of the buffer.
  const ParameterStore::Entry entry{&row, {0, 6, 4, 8}, 100, {}};

  const std::vector<Piece> pieces = pieces_of(entry, {103, 14});

  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[0].rectangle, (Rectangle{0, 1, 7, 8}));
  EXPECT_EQ(pieces[1].rectangle, (Rectangle{1, 4, 4, 8}));
  EXPECT_EQ(pieces[2].rectangle, (Rectangle{4, 5, 4, 5}));
  EXPECT_EQ(pieces[0].offset, 103);
  EXPECT_EQ(pieces[1].offset, 104);
  EXPECT_EQ(pieces[2].offset, 116);
}

TEST(ShardPlan, ASpanInsideOneRowIsOnePiece) {
  const ParameterRow row = row_of(3, 10, 3, {});
  const ParameterStore::Entry entry{&row, {0, 3, 0, 10}, 0, {}};

  const std::vector<Piece> pieces = pieces_of(entry, {12, 5});

  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].rectangle, (Rectangle{1, 2, 2, 7}));
}

TEST(ShardPlan, PaddingRowsAndOtherEntriesHaveNoPieces) {
  const ParameterRow row = row_of(5, 4, 8, {Cut::Kind::dim, 0});
  const ParameterStore::Entry first{&row, {0, 4, 0, 4}, 0, {}}, last{&row, {4, 8, 0, 4}, 0, {}};

  EXPECT_EQ(pieces_of(first, {0, 16}).size(), 1u);
  ASSERT_EQ(pieces_of(last, {0, 16}).size(), 1u);
  EXPECT_EQ(pieces_of(last, {0, 16})[0].rectangle, (Rectangle{4, 5, 0, 4}));
  EXPECT_TRUE(pieces_of(last, {4, 12}).empty());
  EXPECT_TRUE(pieces_of(first, {16, 100}).empty());
  EXPECT_TRUE(pieces_of(first, {3, 0}).empty());
}

// Over random shapes, cuts and numbers of parts: each real element lies in exactly one piece, at
// the place the buffer has it.
TEST(ShardPlan, PartsCoverEachElementOnce) {
  Draws draws;
  for (int round = 0; round < 300; ++round) {
    const int tp = 1 << draws.below(3), dp = 1 + static_cast<int>(draws.below(5));
    const index_t rows = tp * (1 + draws.below(6)), columns = tp * (1 + draws.below(5));
    const bool padded = draws.below(2) == 0;
    const index_t real = padded ? rows - draws.below(rows) : rows;
    const ParameterRow row = row_of(
        real, columns, rows, {Cut::Kind::dim, padded ? 0 : static_cast<int>(draws.below(2))});
    std::vector<int> seen(static_cast<std::size_t>(real * columns));

    for (int part = 0; part < tp * dp; ++part) {
      const ParameterStore::Entry entry{&row, local_rectangle(row, part / dp, tp), 7, {}};
      const Span span = span_of(entry.rectangle.count() + 7, part % dp, dp);
      for (const Piece& piece : pieces_of(entry, span)) {
        const Rectangle& r = piece.rectangle;
        EXPECT_TRUE(piece.offset >= span.first &&
                    piece.offset + r.count() <= span.first + span.count);
        for (index_t i = 0; i < r.count(); ++i) {
          const index_t at_row = r.row0 + i / r.columns(), at_column = r.col0 + i % r.columns();
          const index_t local = (at_row - entry.rectangle.row0) * entry.rectangle.columns() +
                                at_column - entry.rectangle.col0;
          EXPECT_EQ(entry.offset + local, piece.offset + i);
          ++seen[static_cast<std::size_t>(at_row * columns + at_column)];
        }
      }
    }

    EXPECT_EQ(seen, std::vector<int>(seen.size(), 1))
        << real << " of " << rows << " x " << columns << ", tp " << tp << ", dp " << dp;
  }
}

TEST(ShardPlan, IntersectionIsWhatBothHold) {
  const Rectangle a{0, 4, 0, 4};

  EXPECT_EQ(intersection(a, {2, 6, 1, 3}), (Rectangle{2, 4, 1, 3}));
  EXPECT_EQ(intersection(a, a), a);
  EXPECT_EQ(intersection(a, {4, 8, 0, 4}).count(), 0);
  EXPECT_EQ(intersection(a, {1, 2, 5, 9}).count(), 0);
}

}  // namespace
}  // namespace lockstep
