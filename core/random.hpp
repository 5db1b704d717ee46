// Philox4x32-10, a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1,
// 2, 3", SC'11). Every random number of the project is a pure function of (seed, purpose, global
// coordinates), so that no layout, thread, prefetch order or resume changes it. Integer and IEEE +
// - * / sqrt arithmetic only where bits matter.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace lockstep {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

constexpr PhiloxCounter philox(PhiloxCounter c, PhiloxKey k) {
  for (int round = 0; round < 10; ++round) {
    if (round > 0) {
      k[0] += 0x9E3779B9u;
      k[1] += 0xBB67AE85u;
    }
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
  }
  return c;
}

// splitmix64's finaliser: a bijection that spreads every input bit.
constexpr std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9u;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBu;
  x ^= x >> 31;
  return x;
}
constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  return mix(mix(a + 0x9E3779B97F4A7C15u) ^ (b + 0xD1B54A32D192ED03u));
}

// FNV-1a of a name, then mixed.
constexpr std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return mix(hash);
}

// The key of a stream: (seed, what it is for[, further 64 bits]).
constexpr PhiloxKey philox_key(std::uint64_t seed, std::uint64_t purpose, std::uint64_t more = 0) {
  const std::uint64_t key = mix(mix(seed, purpose), more);
  return {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
}

// Uniform in [0, n), n >= 1, from a stream of 64-bit draws: multiply-high with rejection (Lemire
// 2019). draw() -> uint64_t.
__extension__ using Wide = unsigned __int128;

template <typename Draw>
constexpr std::uint64_t uniform_below(std::uint64_t n, Draw&& draw) {
  for (;;) {
    const Wide product = static_cast<Wide>(draw()) * n;
    const auto low = static_cast<std::uint64_t>(product);
    if (low >= n || low >= (0 - n) % n) return static_cast<std::uint64_t>(product >> 64);
  }
}

// A dropout element is kept when its 32-bit draw is below this: floor((1 - p) 2^32).
constexpr std::uint64_t keep_threshold(double dropout) {
  return static_cast<std::uint64_t>((1.0 - dropout) * 4294967296.0);
}

}  // namespace lockstep
