// The random numbers of one sample for one purpose: Philox with key (seed, purpose) and counter
// (sample, draw). Independent of rank, thread, prefetch order and of what other purposes drew.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/random.hpp"

namespace lockstep {

class Draws {
 public:
  Draws(std::uint64_t seed, std::string_view purpose, std::uint64_t sample)
      : key_(philox_key(seed, hash_name(purpose))), sample_(sample) {}

  std::uint64_t operator()() {
    const PhiloxCounter values = philox({static_cast<std::uint32_t>(sample_),
                                         static_cast<std::uint32_t>(sample_ >> 32), draw_++, 0},
                                        key_);
    return std::uint64_t{values[0]} | (std::uint64_t{values[1]} << 32);
  }
  std::uint64_t below(std::uint64_t n) { return uniform_below(n, *this); }
  // True for `threshold` of 2^32 draws.
  bool chance(std::uint64_t threshold) { return static_cast<std::uint32_t>((*this)()) < threshold; }

 private:
  PhiloxKey key_;
  std::uint64_t sample_;
  std::uint32_t draw_ = 0;
};

}  // namespace lockstep
