// The arena's bookkeeping; addresses are numbers here, no memory stands behind them.
#include "core/cuda/arena.hpp"

#include <map>

#include <gtest/gtest.h>

#include "core/random.hpp"

namespace lockstep::cuda {
namespace {

std::byte* at(std::uintptr_t address) { return reinterpret_cast<std::byte*>(address); }

TEST(Arena, HandsOutTheSmallestBlockThatFits) {
  Arena arena;
  arena.add_segment(at(0x100000), 0x1000);
  arena.add_segment(at(0x200000), 0x400);

  EXPECT_EQ(arena.allocate(0x300), at(0x200000));
  EXPECT_EQ(arena.allocate(0x300), at(0x100000));
  EXPECT_EQ(arena.allocate(0x1000), nullptr);
}

TEST(Arena, NeighboursThatAreFreeBecomeOne) {
  Arena arena;
  arena.add_segment(at(0x100000), 0x300);
  std::byte* a = arena.allocate(1);
  std::byte* b = arena.allocate(256);
  std::byte* c = arena.allocate(200);
  EXPECT_EQ(arena.largest_free(), 0u);

  arena.release(a);
  arena.release(c);
  EXPECT_EQ(arena.largest_free(), 0x100u);
  arena.release(b);

  EXPECT_EQ(arena.largest_free(), 0x300u);
  EXPECT_EQ(arena.in_use(), 0u);
  EXPECT_EQ(arena.peak(), 0x300u);
}

TEST(Arena, SegmentsNeverBecomeOne) {
  Arena arena;
  arena.add_segment(at(0x100000), 0x100);
  arena.add_segment(at(0x100100), 0x100);
  std::byte* a = arena.allocate(256);
  std::byte* b = arena.allocate(256);

  arena.release(a);
  arena.release(b);

  EXPECT_EQ(arena.largest_free(), 0x100u);
}

TEST(Arena, BlocksInUseNeverOverlap) {
  Arena arena;
  arena.add_segment(at(0x100000), 0x40000);
  std::map<std::byte*, std::size_t> used;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    const std::uint64_t draw = mix(7, i);
    if (draw % 2 == 0 && !used.empty()) {
      auto victim = used.begin();
      std::advance(victim, static_cast<std::ptrdiff_t>((draw >> 8) % used.size()));
      arena.release(victim->first);
      used.erase(victim);
      continue;
    }
    const std::size_t bytes = (draw >> 8) % 5000;
    std::byte* pointer = arena.allocate(bytes);
    if (pointer == nullptr) continue;
    const auto next = used.lower_bound(pointer);
    ASSERT_TRUE(next == used.end() || pointer + Arena::rounded(bytes) <= next->first);
    ASSERT_TRUE(next == used.begin() ||
                std::prev(next)->first + std::prev(next)->second <= pointer);
    used.emplace(pointer, Arena::rounded(bytes));
  }
  for (const auto& [pointer, bytes] : used) arena.release(pointer);

  EXPECT_EQ(arena.largest_free(), 0x40000u);
}

}  // namespace
}  // namespace lockstep::cuda
