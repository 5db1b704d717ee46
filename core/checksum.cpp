#include "core/checksum.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace lockstep {
namespace {

constexpr auto crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1u) != 0 ? 0x82F63B78u : 0u);
    table[byte] = value;
  }
  return table;
}();

std::uint32_t crc_plain(const std::uint8_t* data, std::size_t bytes, std::uint32_t crc) {
  for (std::size_t i = 0; i < bytes; ++i) crc = crc_table[(crc ^ data[i]) & 255u] ^ (crc >> 8);
  return crc;
}

// a b modulo the polynomial, bits reflected: 1 << 31 is 1, 1 << 30 is x.
constexpr std::uint32_t product(std::uint32_t a, std::uint32_t b) {
  std::uint32_t sum = 0;
  for (std::uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) sum ^= b;
    b = (b >> 1) ^ ((b & 1u) != 0 ? 0x82F63B78u : 0u);
  }
  return sum;
}

// x^(8 2^i): what 2^i bytes of zeros do to a CRC.
constexpr auto crc_shifts = [] {
  std::array<std::uint32_t, 64> shifts{};
  shifts[0] = 1u << 23;
  for (std::size_t i = 1; i < shifts.size(); ++i) shifts[i] = product(shifts[i - 1], shifts[i - 1]);
  return shifts;
}();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc_sse42(const std::uint8_t* data,
                                                          std::size_t bytes,
                                                          std::uint32_t crc) {
  // An instruction takes three cycles and one can begin in each: three runs of bytes at once.
  constexpr std::size_t run = 1 << 13;
  constexpr std::uint32_t by_run = crc_shifts[13], by_two = crc_shifts[14];
  std::uint64_t wide = crc;
  for (; bytes >= 3 * run; bytes -= 3 * run, data += 3 * run) {
    std::uint64_t second = 0, third = 0;
    for (std::size_t i = 0; i < run; i += 8) {
      std::array<std::uint64_t, 3> words;
      for (std::size_t r = 0; r < 3; ++r) std::memcpy(&words[r], data + r * run + i, 8);
      wide = _mm_crc32_u64(wide, words[0]);
      second = _mm_crc32_u64(second, words[1]);
      third = _mm_crc32_u64(third, words[2]);
    }
    wide = product(static_cast<std::uint32_t>(wide), by_two) ^
           product(static_cast<std::uint32_t>(second), by_run) ^ third;
  }
  for (; bytes >= 8; bytes -= 8, data += 8) {
    std::uint64_t word;
    std::memcpy(&word, data, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  return crc_plain(data, bytes, static_cast<std::uint32_t>(wide));
}
#endif

constexpr std::array<std::uint32_t, 64> sha_constants{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

}  // namespace

std::uint32_t crc32c(const void* data, std::size_t bytes, std::uint32_t crc) {
  const auto* from = static_cast<const std::uint8_t*>(data);
#if defined(__x86_64__)
  static const bool has_sse42 = __builtin_cpu_supports("sse4.2") != 0;
  if (has_sse42) return ~crc_sse42(from, bytes, ~crc);
#endif
  return ~crc_plain(from, bytes, ~crc);
}

std::uint32_t crc32c_joined(std::uint32_t a, std::uint32_t b, std::uint64_t b_bytes) {
  for (std::size_t i = 0; b_bytes != 0; ++i, b_bytes >>= 1) {
    if ((b_bytes & 1u) != 0) a = product(a, crc_shifts[i]);
  }
  return a ^ b;
}

void Sha256::block(const std::uint8_t* data) {
  std::array<std::uint32_t, 64> w{};
  for (std::size_t i = 0; i < 16; ++i) {
    w[i] = std::uint32_t{data[4 * i]} << 24 | std::uint32_t{data[4 * i + 1]} << 16 |
           std::uint32_t{data[4 * i + 2]} << 8 | std::uint32_t{data[4 * i + 3]};
  }
  for (std::size_t i = 16; i < 64; ++i) {
    const std::uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const std::uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (std::size_t i = 0; i < 64; ++i) {
    const std::uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    const std::uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + sha_constants[i] + w[i];
    const std::uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    const std::uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  const std::array<std::uint32_t, 8> add{a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < 8; ++i) state_[i] += add[i];
}

void Sha256::update(const void* data, std::size_t bytes) {
  if (bytes == 0) return;  // data may be null then, which memcpy may not see
  const auto* from = static_cast<const std::uint8_t*>(data);
  const std::size_t filled = bytes_ % 64;
  bytes_ += bytes;
  if (filled > 0) {
    const std::size_t take = std::min(bytes, 64 - filled);
    std::memcpy(pending_.data() + filled, from, take);
    from += take;
    bytes -= take;
    if (filled + take < 64) return;
    block(pending_.data());
  }
  for (; bytes >= 64; bytes -= 64, from += 64) block(from);
  std::memcpy(pending_.data(), from, bytes);
}

std::string Sha256::hex() {
  const std::uint64_t bits = bytes_ * 8;
  const std::uint8_t one = 0x80, zero = 0;
  update(&one, 1);
  while (bytes_ % 64 != 56) update(&zero, 1);
  std::array<std::uint8_t, 8> length{};
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<std::uint8_t>(bits >> (56 - 8 * i));
  update(length.data(), 8);
  std::string text;
  for (std::uint32_t word : state_) {
    for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[(word >> shift) & 15u];
  }
  return text;
}

}  // namespace lockstep
