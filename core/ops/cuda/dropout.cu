#include "core/ops/cuda/dropout.hpp"
#include "core/ops/cuda/elementwise.hpp"
#include "core/ops/cuda/map.cuh"

namespace lockstep::cuda {
namespace {

// One call handles one or two groups of four columns: one philox draw for each group.
template <typename T, int W>
struct Drop {
  static constexpr int per_call = W > 4 ? W : 4;

  RowsOf<T> y;
  RowsOf<const T> x, residual;  // residual.data may be null
  index_t columns;
  const std::int64_t* sample_ids;
  index_t T_positions, first_row;
  PhiloxKey key;
  std::uint32_t threshold;
  float factor;

  __device__ void operator()(index_t row, index_t first) const {
    const index_t global = first_row + row;
    const auto sample = static_cast<std::uint64_t>(sample_ids[global / T_positions]);
    const auto position = static_cast<std::uint32_t>(global % T_positions);
    for (index_t column = first; column < first + per_call && column < columns; column += 4) {
      const PhiloxCounter words =
          philox({static_cast<std::uint32_t>(column / 4), position,
                  static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(sample >> 32)},
                 key);
      for (int part = 0; part < 4; part += W < 4 ? W : 4) apply(row, column + part, words, part);
    }
  }

 private:
  // Columns [column, column + min(W, 4)), which are words [part, ...) of the draw.
  __device__ void apply(index_t row, index_t column, const PhiloxCounter& words, int part) const {
    constexpr int n = W < 4 ? W : 4;
    if (column >= columns) return;
    auto pack = load<T, n>(x[row] + column);
    Pack<T, n> other{};
    if (residual.data != nullptr) other = load<T, n>(residual[row] + column);
    for (int i = 0; i < n; ++i) {
      const float kept =
          words[static_cast<unsigned>(part + i)] < threshold ? to_float(pack.at[i]) * factor : 0.0f;
      pack.at[i] = static_cast<T>(residual.data != nullptr ? to_float(other.at[i]) + kept : kept);
    }
    store<T, n>(y[row] + column, pack);
  }
};

}  // namespace

void dropout_forward(Tensor& y, const Tensor& x, const Tensor& residual, const DropoutSpec& spec) {
  const std::uint64_t threshold = keep_threshold(spec.probability);
  if (threshold >> 32 != 0) {  // nothing is dropped
    if (residual.defined()) {
      cuda::add(y, x, residual);
    } else if (y.raw() != x.raw()) {
      y.copy_from(x);
    }
    return;
  }
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          using Kernel = Drop<T, decltype(width)::value>;
          const RowsOf<const T> other =
              residual.defined() ? rows_of<T>(residual) : RowsOf<const T>{nullptr, 0};
          map(Runtime::of(x.device()), {x.rows(), x.columns()}, Kernel::per_call,
              Kernel{rows_of<T>(y), rows_of<T>(x), other, x.columns(),
                     spec.sample_ids.data<std::int64_t>(), spec.T, spec.first_row, spec.key,
                     static_cast<std::uint32_t>(threshold),
                     static_cast<float>(1.0 / (1.0 - spec.probability))});
        },
        x, y, residual);
  });
}

void dropout_backward(Tensor& dx, const Tensor& dy, const DropoutSpec& spec) {
  cuda::dropout_forward(dx, dy, Tensor(), spec);
}

}  // namespace lockstep::cuda
