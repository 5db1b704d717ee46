#include "parallel/mpi/rounds.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace lockstep::mpi {
namespace {

// How often each of n elements lies in a part.
std::vector<int> coverage(const Rounds& rounds, index_t n, int size) {
  std::vector<int> times(static_cast<std::size_t>(n), 0);
  for (index_t round = 0; round < rounds.count(); ++round) {
    for (int rank = 0; rank < size; ++rank) {
      const Span part = rounds.part(round, rank);
      for (index_t i = 0; i < part.count; ++i) ++times.at(static_cast<std::size_t>(part.first + i));
    }
  }
  return times;
}

TEST(Rounds, CoverEachElementOnceForAnyCut) {
  for (const Rounds::Cut cut : {Rounds::Cut::range, Rounds::Cut::spans}) {
    for (index_t n : {0, 1, 2, 7, 100}) {
      for (int size : {1, 2, 3, 8}) {
        for (index_t per_round : {1, 5, 64, 1000}) {
          const Rounds rounds(cut, n, size, per_round);

          const std::vector<int> times = coverage(rounds, n, size);

          EXPECT_EQ(times, std::vector<int>(static_cast<std::size_t>(n), 1))
              << n << " over " << size << " by " << per_round;
        }
      }
    }
  }
}

TEST(Rounds, SpansStayInsideTheSpanOfTheirRank) {
  const Rounds rounds(Rounds::Cut::spans, 11, 3, 6);

  EXPECT_EQ(rounds.count(), 2);
  EXPECT_EQ(rounds.part(0, 1), (Span{3, 2}));
  EXPECT_EQ(rounds.part(1, 1), (Span{5, 2}));
  EXPECT_EQ(rounds.part(1, 0), (Span{2, 1}));
}

// Of elements 5 to 10 of 20, whose spans begin at 0, 6 and 13.
TEST(Rounds, SpansOfAWindowAreThoseOfTheWhole) {
  const Rounds rounds(Rounds::Cut::spans, 6, 3, 9, {5, 20});

  EXPECT_EQ(coverage(rounds, 6, 3), std::vector<int>(6, 1));
  EXPECT_EQ(rounds.count(), 2);
  EXPECT_EQ(rounds.part(0, 0), (Span{0, 1}));
  EXPECT_EQ(rounds.part(0, 1), (Span{1, 3}));
  EXPECT_EQ(rounds.part(1, 1), (Span{4, 2}));
  EXPECT_EQ(rounds.part(0, 2).count + rounds.part(1, 0).count, 0);
}

TEST(Rounds, SharedPartsAreTheSameForAllRanks) {
  const Rounds rounds(Rounds::Cut::shared, 10, 4, 6);

  EXPECT_EQ(rounds.count(), 2);
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(rounds.part(0, rank), (Span{0, 6}));
    EXPECT_EQ(rounds.part(1, rank), (Span{6, 4}));
  }
}

TEST(Rounds, NeverHoldMoreThanAskedFor) {
  const Rounds rounds(Rounds::Cut::range, 1 << 20, 3, 1000);

  for (index_t round = 0; round < rounds.count(); ++round) {
    index_t together = 0;
    for (int rank = 0; rank < 3; ++rank) together += rounds.part(round, rank).count;
    EXPECT_LE(together, 1000);
  }
}

}  // namespace
}  // namespace lockstep::mpi
