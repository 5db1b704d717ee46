#include "core/ops/cuda/drop_rule.cuh"
#include "core/ops/cuda/dropout.hpp"
#include "core/ops/cuda/map.cuh"

namespace lockstep::cuda {
namespace {

// One call handles a group of four columns: one philox draw.
template <typename T, int W>
struct Drop {
  static constexpr int per_call = 4;

  RowsOf<T> y;
  RowsOf<const T> x;
  index_t columns;
  DropRule rule;

  __device__ void operator()(index_t row, index_t first) const {
    const PhiloxCounter words = rule.words(row, first / 4);
    for (int part = 0; part < per_call && first + part < columns; part += W) {
      auto pack = load<T, W>(x[row] + first + part);
      for (int w = 0; w < W; ++w) {
        pack.at[w] = static_cast<T>(
            rule.apply(to_float(pack.at[w]), words[static_cast<unsigned>(part + w)]));
      }
      store<T, W>(y[row] + first + part, pack);
    }
  }
};

}  // namespace

void dropout_forward(Tensor& y, const Tensor& x, const DropoutSpec& spec) {
  const DropRule rule(spec);
  if (rule.none()) {
    if (y.raw() != x.raw()) y.copy_from(x);
    return;
  }
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          using Kernel = Drop<T, decltype(width)::value>;
          map(Runtime::of(x.device()), {x.rows(), x.columns()}, Kernel::per_call,
              Kernel{rows_of<T>(y), rows_of<T>(x), x.columns(), rule});
        },
        x, y);
  });
}

void dropout_backward(Tensor& dx, const Tensor& dy, const DropoutSpec& spec) {
  cuda::dropout_forward(dx, dy, spec);
}

}  // namespace lockstep::cuda
