// Bits are worked out in integers, as on the CPU: cuda_bf16.h makes every NaN the same one. Eight
// elements at a time: 16 bytes of bf16, two accesses of 16 bytes of fp32.
#include "core/ops/cuda/bf16.hpp"
#include "core/ops/cuda/map.cuh"

namespace lockstep::cuda {
namespace {

__device__ Bf16 nearest_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t nearest = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const std::uint32_t quiet_nan = (bits >> 16) | 0x40;
  const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
  return {static_cast<std::uint16_t>(is_nan ? quiet_nan : nearest)};
}

// Of the W elements of a pack of bf16, those that one access moves in fp32.
template <int W>
constexpr int at_once = W < widest<float> ? W : widest<float>;

template <int W>
struct Round {
  RowsOf<Bf16> to;
  RowsOf<const float> from;

  __device__ void operator()(index_t row, index_t column) const {
    Pack<Bf16, W> pack;
    for (int first = 0; first < W; first += at_once<W>) {
      const auto part = load<float, at_once<W>>(from[row] + column + first);
      for (int w = 0; w < at_once<W>; ++w) pack.at[first + w] = nearest_bf16(part.at[w]);
    }
    store<Bf16, W>(to[row] + column, pack);
  }
};

template <int W>
struct Widen {
  RowsOf<float> to;
  RowsOf<const Bf16> from;

  __device__ void operator()(index_t row, index_t column) const {
    const auto pack = load<Bf16, W>(from[row] + column);
    for (int first = 0; first < W; first += at_once<W>) {
      Pack<float, at_once<W>> part;
      for (int w = 0; w < at_once<W>; ++w) part.at[w] = to_float(pack.at[first + w]);
      store<float, at_once<W>>(to[row] + column + first, part);
    }
  }
};

}  // namespace

void round_to_bf16(Tensor& to, const Tensor& from) {
  with_width<Bf16>(
      [&](auto width) {
        constexpr int W = decltype(width)::value;
        map(Runtime::of(to.device()), walk_of(to, from), W,
            Round<W>{rows_of<Bf16>(to), rows_of<float>(from)});
      },
      to, from);
}

void widen_bf16(Tensor& to, const Tensor& from) {
  with_width<Bf16>(
      [&](auto width) {
        constexpr int W = decltype(width)::value;
        map(Runtime::of(to.device()), walk_of(to, from), W,
            Widen<W>{rows_of<float>(to), rows_of<Bf16>(from)});
      },
      to, from);
}

}  // namespace lockstep::cuda
