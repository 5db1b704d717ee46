// CRC-32C (Castagnoli, reflected 0x82F63B78; SSE4.2 where the CPU has it) and SHA-256 (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace lockstep {

// Chainable: crc32c(b, m, crc32c(a, n)) is the CRC of a followed by b. crc32c("123456789", 9) =
// 0xE3069283.
std::uint32_t crc32c(const void* data, std::size_t bytes, std::uint32_t crc = 0);
// Of what has CRC a followed by b_bytes bytes that have CRC b.
std::uint32_t crc32c_joined(std::uint32_t a, std::uint32_t b, std::uint64_t b_bytes);

class Sha256 {
 public:
  void update(const void* data, std::size_t bytes);
  std::string hex();  // ends the computation

 private:
  void block(const std::uint8_t* data);

  std::array<std::uint32_t, 8> state_{0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                      0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
  std::array<std::uint8_t, 64> pending_{};
  std::uint64_t bytes_ = 0;
};

}  // namespace lockstep
