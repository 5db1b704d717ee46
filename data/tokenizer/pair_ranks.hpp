// (left id, right id) -> {rank, merged id}: an open-addressing table, because a merge loop is
// nothing but its look-ups.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace lockstep {

struct Merge {
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t rank = none;  // the lowest is done first
  std::int32_t id = -1;       // of the token it makes
};

class PairRanks {
 public:
  explicit PairRanks(std::size_t num_pairs);

  void set(std::int32_t left, std::int32_t right, Merge merge);  // replaces
  Merge find(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = key_of(left, right);
    for (std::size_t i = slot_of(key);; i = (i + 1) & mask_) {
      if (entries_[i].key == key) return entries_[i].merge;
      if (entries_[i].key == empty) return {};
    }
  }

 private:
  static constexpr std::uint64_t empty = std::numeric_limits<std::uint64_t>::max();
  struct Entry {
    std::uint64_t key = empty;
    Merge merge;
  };

  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
           static_cast<std::uint32_t>(right);
  }
  // Fibonacci hashing: the high bits of the product depend on all bits of the key.
  std::size_t slot_of(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> shift_) & mask_;
  }

  int shift_;
  std::size_t mask_;
  std::vector<Entry> entries_;
};

}  // namespace lockstep
