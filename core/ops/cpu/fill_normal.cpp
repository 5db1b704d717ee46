#include <cmath>

#include "core/normal.hpp"
#include "core/ops/cpu/elementwise.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {

void fill_normal(Tensor& x,
                 std::uint64_t key,
                 double stddev,
                 index_t row0,
                 index_t col0,
                 index_t width) {
  const PhiloxKey words = {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_row_blocks(x, [&](index_t row, index_t first, index_t n) {
      T* to = x.data<T>() + row * x.row_stride() + first;
      const index_t start = (row0 + row) * width + col0 + first;  // canonical index of to[0]
      for (index_t e = start - start % 2; e < start + n; e += 2) {
        const PolarPair pair = normal_polar(static_cast<std::uint64_t>(e / 2), words);
        const double radius = std::sqrt(pair.radius_squared);
        if (e >= start) to[e - start] = static_cast<T>(stddev * (radius * pair.cosine));
        if (e + 1 < start + n) to[e + 1 - start] = static_cast<T>(stddev * (radius * pair.sine));
      }
    });
  });
}

}  // namespace lockstep::cpu
