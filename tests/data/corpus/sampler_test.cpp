#include "data/sampler.hpp"

#include <cmath>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "core/random.hpp"
#include "data/permutation.hpp"

namespace lockstep {
namespace {

TEST(Permutation, IsABijection) {
  for (std::uint64_t n : {1u, 2u, 3u, 5u, 16u, 17u, 100u, 1000u, 65537u, 100003u}) {
    const Permutation permute(n, 7 * n);
    std::vector<bool> seen(n);

    for (std::uint64_t i = 0; i < n; ++i) {
      const std::uint64_t image = permute(i);
      ASSERT_LT(image, n);
      EXPECT_FALSE(seen[image]) << n << " " << i;
      seen[image] = true;
    }
  }
}

TEST(Permutation, StaysInAHugeDomain) {
  const Permutation permute(~std::uint64_t{0}, 3);

  EXPECT_NE(permute(0), permute(1));
  EXPECT_LT(permute(~std::uint64_t{0} - 1), ~std::uint64_t{0});
}

// chi^2 per degree of freedom of image differences of neighbours, over many keys: 1 for random
// permutations.
TEST(Permutation, NeighboursAreIndependent) {
  constexpr std::uint64_t n = 100, keys = 2000;
  std::vector<double> counts(n, 0);

  for (std::uint64_t key = 0; key < keys; ++key) {
    const Permutation permute(n, mix(key));
    for (std::uint64_t i = 0; i + 1 < n; ++i) ++counts[(permute(i + 1) + n - permute(i)) % n];
  }

  const double expected = static_cast<double>(keys * (n - 1)) / static_cast<double>(n - 1);
  double chi = 0;
  for (std::uint64_t d = 1; d < n; ++d)
    chi += (counts[d] - expected) * (counts[d] - expected) / expected;
  EXPECT_EQ(counts[0], 0);
  EXPECT_LT(chi / static_cast<double>(n - 2), 1.5);
}

TEST(Permutation, EveryPlaceIsEquallyLikely) {
  constexpr std::uint64_t n = 37, keys = 10000;
  std::vector<double> counts(n, 0);

  for (std::uint64_t key = 0; key < keys; ++key) ++counts[Permutation(n, mix(key, 1))(5)];

  const double expected = static_cast<double>(keys) / n;
  double chi = 0;
  for (double count : counts) chi += (count - expected) * (count - expected) / expected;
  EXPECT_LT(chi / (n - 1), 2);
}

TEST(WindowGrid, WindowsOfAnEpochAreApartAndInsideTheirShard) {
  const std::vector<index_t> shards = {100, 3, 17, 1000, 16, 0, 33};
  const index_t stride = 16, length = 17;
  const WindowGrid grid(shards, stride, length);

  for (std::uint64_t key : {std::uint64_t{0}, ~std::uint64_t{0}, mix(1), mix(2)}) {
    std::map<int, index_t> last;
    for (std::uint64_t w = 0; w < grid.count(); ++w) {
      const WindowGrid::Place place = grid.place(w, key);
      EXPECT_GE(place.token, 0);
      EXPECT_LE(place.token + length, shards[static_cast<std::size_t>(place.shard)]);
      if (last.count(place.shard) > 0) {
        EXPECT_EQ(place.token, last[place.shard] + stride);
      }
      last[place.shard] = place.token;
    }
    EXPECT_EQ(last.size(), 4u);  // shards of 3, 16 and 0 tokens hold no window
  }
}

TEST(WindowGrid, OffsetsReachEveryToken) {
  const WindowGrid grid({200}, 16, 17);
  std::set<index_t> starts;

  for (std::uint64_t key = 0; key < 1000; ++key) starts.insert(grid.place(0, mix(key)).token);

  EXPECT_EQ(starts.size(), 16u);
  EXPECT_EQ(*starts.rbegin(), 15);
}

TEST(Blend, RatiosAreExactInEveryPeriod) {
  const Blend blend({1, 2, 5});
  ASSERT_EQ(blend.period(), Blend::longest_period);
  std::vector<std::uint64_t> counts(3, 0);

  for (std::uint64_t g = 0; g < 2 * blend.period(); ++g) {
    const Blend::Choice choice = blend.choose(g);
    EXPECT_EQ(choice.index, counts[static_cast<std::size_t>(choice.corpus)]++);
  }

  EXPECT_EQ(counts, (std::vector<std::uint64_t>{2 * blend.count(0), 2 * blend.count(1),
                                                2 * blend.count(2)}));
  const std::vector<double> shares = {1 / 8., 2 / 8., 5 / 8.};
  for (int i = 0; i < 3; ++i) {
    const double wanted = shares[static_cast<std::size_t>(i)] * static_cast<double>(blend.period());
    EXPECT_LE(std::abs(static_cast<double>(blend.count(i)) - wanted), 1) << i;
  }
}

TEST(Blend, RefusesWeightsThatCannotBeMet) {
  EXPECT_THROW(Blend({1, 0}), Error);
  EXPECT_THROW(Blend({1, -1}), Error);
  EXPECT_THROW(Blend({1, std::nan("")}), Error);
  EXPECT_THROW(Blend({1, 1e-9}), Error);
}

TEST(Sampler, ShowsEveryWindowOncePerEpoch) {
  const WindowGrid grid({1000, 500}, 16, 17), other({400}, 16, 17);
  const Sampler sampler(5, Blend({3, 1}), {grid, other});
  std::map<std::pair<int, std::uint64_t>, std::set<std::uint64_t>> windows;  // by corpus and epoch

  for (std::uint64_t g = 0; g < 1000; ++g) {
    const Sampler::Sample sample = sampler.sample(g);
    EXPECT_TRUE(windows[std::make_pair(sample.corpus, sample.epoch)].insert(sample.window).second)
        << g;
  }

  for (std::uint64_t epoch = 0; epoch < 5; ++epoch)
    EXPECT_EQ(windows[std::make_pair(0, epoch)].size(), grid.count());
}

TEST(Sampler, OrderDiffersBetweenEpochsAndSeeds) {
  const WindowGrid grid({5000}, 16, 17);
  const Sampler one(5, Blend({1}), {grid}), two(6, Blend({1}), {grid});
  std::uint64_t as_before = 0, as_other = 0;

  for (std::uint64_t g = 0; g < grid.count(); ++g) {
    as_before += one.sample(g).window == one.sample(g + grid.count()).window ? 1 : 0;
    as_other += one.sample(g).window == two.sample(g).window ? 1 : 0;
  }

  EXPECT_LT(as_before, grid.count() / 20);
  EXPECT_LT(as_other, grid.count() / 20);
}

}  // namespace
}  // namespace lockstep
