// The upper half of a float, rounded to nearest even.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

struct __nv_bfloat16 {
  __nv_bfloat16() = default;
  explicit __nv_bfloat16(float x) {
    std::uint32_t wide = 0;
    std::memcpy(&wide, &x, sizeof wide);
    bits = std::isnan(x) ? 0x7fff
                         : static_cast<std::uint16_t>((wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16);
  }
  explicit operator float() const {
    const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
    float x = 0;
    std::memcpy(&x, &wide, sizeof x);
    return x;
  }

  std::uint16_t bits;
};
