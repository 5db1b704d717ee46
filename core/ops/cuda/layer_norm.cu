// One warp per row; a row of a few thousand elements stays in the first-level cache between its
// passes. The variance is summed from x - mean, as on the CPU.
#include "core/ops/cuda/column_sums.cuh"
#include "core/ops/cuda/layer_norm.hpp"

namespace lockstep::cuda {
namespace {

constexpr int rows_per_block = 8;

__device__ index_t row_of_warp() {
  return static_cast<index_t>(blockIdx.x) * rows_per_block + threadIdx.x / warp_size;
}

template <typename T, int W>
__global__ void __launch_bounds__(rows_per_block* warp_size) forward_kernel(RowsOf<T> y,
                                                                            float* mean,
                                                                            float* rstd,
                                                                            RowsOf<const T> x,
                                                                            const T* weight,
                                                                            const T* bias,
                                                                            index_t N,
                                                                            index_t C,
                                                                            float eps) {
  const index_t row = row_of_warp();
  if (row >= N) return;  // whole warps leave
  const index_t lane = threadIdx.x % warp_size;
  const T* from = x[row];
  float sum = 0;
  for (index_t c = lane * W; c < C; c += warp_size * W) {
    const auto pack = load<T, W>(from + c);
    for (int w = 0; w < W; ++w) sum += to_float(pack.at[w]);
  }
  const float center = warp_sum(sum) / static_cast<float>(C);
  float squares = 0;
  for (index_t c = lane * W; c < C; c += warp_size * W) {
    const auto pack = load<T, W>(from + c);
    for (int w = 0; w < W; ++w) {
      const float difference = to_float(pack.at[w]) - center;
      squares += difference * difference;
    }
  }
  const float inverse = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(C) + eps);
  for (index_t c = lane * W; c < C; c += warp_size * W) {
    auto pack = load<T, W>(from + c);
    const auto scales = load<T, W>(weight + c);
    Pack<T, W> shifts{};
    if (bias != nullptr) shifts = load<T, W>(bias + c);
    for (int w = 0; w < W; ++w) {
      const float shift = bias != nullptr ? to_float(shifts.at[w]) : 0.0f;
      pack.at[w] = static_cast<T>(
          (to_float(pack.at[w]) - center) * inverse * to_float(scales.at[w]) + shift);
    }
    store<T, W>(y[row] + c, pack);
  }
  if (lane == 0) {
    mean[row] = center;
    rstd[row] = inverse;
  }
}

template <typename T, int W>
__global__ void __launch_bounds__(rows_per_block* warp_size)
    backward_input_kernel(RowsOf<T> dx,
                          RowsOf<const T> dy,
                          RowsOf<const T> x,
                          const T* weight,
                          const float* mean,
                          const float* rstd,
                          index_t N,
                          index_t C) {
  const index_t row = row_of_warp();
  if (row >= N) return;
  const index_t lane = threadIdx.x % warp_size;
  const float center = mean[row], inverse = rstd[row];
  float sum_d = 0, sum_dx = 0;
  for (index_t c = lane * W; c < C; c += warp_size * W) {
    const auto slopes = load<T, W>(dy[row] + c), at = load<T, W>(x[row] + c),
               scales = load<T, W>(weight + c);
    for (int w = 0; w < W; ++w) {
      const float d = to_float(scales.at[w]) * to_float(slopes.at[w]);
      sum_d += d;
      sum_dx += d * ((to_float(at.at[w]) - center) * inverse);
    }
  }
  const float mean_d = warp_sum(sum_d) / static_cast<float>(C);
  const float mean_dx = warp_sum(sum_dx) / static_cast<float>(C);
  for (index_t c = lane * W; c < C; c += warp_size * W) {
    auto slopes = load<T, W>(dy[row] + c);
    const auto at = load<T, W>(x[row] + c), scales = load<T, W>(weight + c);
    for (int w = 0; w < W; ++w) {
      const float d = to_float(scales.at[w]) * to_float(slopes.at[w]);
      const float normed = (to_float(at.at[w]) - center) * inverse;
      slopes.at[w] = static_cast<T>(inverse * (d - mean_d - normed * mean_dx));
    }
    store<T, W>(dx[row] + c, slopes);
  }
}

// dweight: dy xhat; dbias: dy.
template <typename T, int W>
struct WeightTerm {
  RowsOf<const T> dy, x;
  const float *mean, *rstd;

  __device__ void at(index_t row, index_t column, float (&first)[W], float (&second)[W]) const {
    const auto slopes = load<T, W>(dy[row] + column), values = load<T, W>(x[row] + column);
    const float center = mean[row], inverse = rstd[row];
    for (int w = 0; w < W; ++w) {
      second[w] = to_float(slopes.at[w]);
      first[w] = second[w] * ((to_float(values.at[w]) - center) * inverse);
    }
  }
};

}  // namespace

void layer_norm_forward(Tensor& y,
                        Tensor& mean,
                        Tensor& rstd,
                        const Tensor& x,
                        const Tensor& weight,
                        const Tensor& bias,
                        double eps) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          launch(Runtime::of(x.device()).stream(), blocks_for(x.rows(), rows_per_block),
                 rows_per_block * warp_size, forward_kernel<T, decltype(width)::value>,
                 rows_of<T>(y), mean.data<float>(), rstd.data<float>(), rows_of<T>(x),
                 weight.data<T>(), bias.defined() ? bias.data<T>() : nullptr, x.rows(), x.columns(),
                 eps);
        },
        x, y, weight, bias);
  });
}

void layer_norm_backward_input(Tensor& dx,
                               const Tensor& dy,
                               const Tensor& x,
                               const Tensor& weight,
                               const Tensor& mean,
                               const Tensor& rstd) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          launch(Runtime::of(x.device()).stream(), blocks_for(x.rows(), rows_per_block),
                 rows_per_block * warp_size, backward_input_kernel<T, decltype(width)::value>,
                 rows_of<T>(dx), rows_of<T>(dy), rows_of<T>(x), weight.data<T>(),
                 mean.data<float>(), rstd.data<float>(), x.rows(), x.columns());
        },
        x, dx, dy, weight);
  });
}

void layer_norm_backward_weight(Tensor& dweight,
                                Tensor& dbias,
                                const Tensor& dy,
                                const Tensor& x,
                                const Tensor& mean,
                                const Tensor& rstd) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          add_column_sums_of<W>(x.device(),
                                WeightTerm<T, W>{rows_of<T>(dy), rows_of<T>(x), mean.data<float>(),
                                                 rstd.data<float>()},
                                x.rows(), x.columns(), dweight.data<float>(),
                                dbias.defined() ? dbias.data<float>() : nullptr);
        },
        x, dy);
  });
}

}  // namespace lockstep::cuda
