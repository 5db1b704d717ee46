// A thread draws one pair of core/normal.hpp and stores what of it lies in the rectangle. Compiled
// with --fmad=false: the same bits as on the CPU.
#include "core/normal.hpp"
#include "core/ops/cuda/elementwise.hpp"
#include "core/ops/cuda/map.cuh"

namespace lockstep::cuda {
namespace {

template <typename T>
struct FillNormal {
  RowsOf<T> x;
  index_t columns, row0, col0, width;
  PhiloxKey key;
  double stddev;

  // Column 2p of the walk is pair p of the row.
  __device__ void operator()(index_t row, index_t twice_p) const {
    const index_t start = (row0 + row) * width + col0;  // canonical index of x[row][0]
    const index_t first = start - start % 2 + twice_p;
    const PolarPair pair = normal_polar(static_cast<std::uint64_t>(first / 2), key);
    const double radius = sqrt(pair.radius_squared);
    if (first >= start && first < start + columns)
      x[row][first - start] = static_cast<T>(stddev * (radius * pair.cosine));
    if (first + 1 < start + columns)
      x[row][first + 1 - start] = static_cast<T>(stddev * (radius * pair.sine));
  }
};

}  // namespace

void fill_normal(Tensor& x,
                 std::uint64_t key,
                 double stddev,
                 index_t row0,
                 index_t col0,
                 index_t width) {
  if (x.count() == 0) return;
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map(Runtime::of(x.device()), {x.rows(), x.columns() + 1}, 2,
        FillNormal<T>{rows_of<T>(x),
                      x.columns(),
                      row0,
                      col0,
                      width,
                      {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)},
                      stddev});
  });
}

}  // namespace lockstep::cuda
