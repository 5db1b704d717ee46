#include "core/ops/cuda/combine.hpp"
#include "core/ops/cuda/map.cuh"

namespace lockstep::cuda {
namespace {

template <Reduce reduce, typename T, int W>
struct Combine {
  T* into;
  const T* x;

  __device__ void operator()(index_t, index_t first) const {
    auto pack = load<T, W>(into + first);
    const auto other = load<T, W>(x + first);
    for (int w = 0; w < W; ++w) pack.at[w] = combined<reduce>(pack.at[w], other.at[w]);
    store<T, W>(into + first, pack);
  }
};

template <Reduce reduce>
void run(Tensor& into, const Tensor& x) {
  with_summed_type(into.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(into.device()), {1, into.count()}, W,
              Combine<reduce, T, W>{into.data<T>(), x.data<T>()});
        },
        into, x);
  });
}

}  // namespace

void combine(Tensor& into, const Tensor& x, Reduce reduce) {
  switch (reduce) {
    case Reduce::sum:
      return run<Reduce::sum>(into, x);
    case Reduce::max:
      return run<Reduce::max>(into, x);
    case Reduce::min:
      return run<Reduce::min>(into, x);
  }
}

}  // namespace lockstep::cuda
