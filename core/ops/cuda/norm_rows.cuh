// Layer norm of rows that are made, and gradients that are used, while they pass through a warp.
// One warp per row; a row of a few thousand elements stays in the first-level cache between its
// passes. The variance is summed from x - mean, as on the CPU.
#pragma once

#include "core/ops/cuda/kernel.cuh"

namespace lockstep::cuda {

constexpr int norm_rows_per_block = 8;

__device__ inline index_t norm_row_of_warp() {
  return static_cast<index_t>(blockIdx.x) * norm_rows_per_block + threadIdx.x / warp_size;
}

// y, mean and rstd of each row that source makes: first(row, column) gives a pack of W columns
// once, again(row, column) the same pack later.
template <typename T, int W, typename Source>
__global__ void __launch_bounds__(norm_rows_per_block* warp_size)
    norm_forward_kernel(RowsOf<T> y,
                        float* mean,
                        float* rstd,
                        Source source,
                        const T* weight,
                        const T* bias,
                        index_t N,
                        index_t C,
                        float eps) {
  const index_t row = norm_row_of_warp();
  if (row >= N) return;  // whole warps leave
  const index_t lane = threadIdx.x % warp_size;
  float sum = 0;
  for (index_t c = lane * W; c < C; c += warp_size * W) {
    const Pack<T, W> pack = source.first(row, c);
    for (int w = 0; w < W; ++w) sum += to_float(pack.at[w]);
  }
  const float center = warp_sum(sum) / static_cast<float>(C);
  float squares = 0;
  for (index_t c = lane * W; c < C; c += warp_size * W) {
    const Pack<T, W> pack = source.again(row, c);
    for (int w = 0; w < W; ++w) {
      const float difference = to_float(pack.at[w]) - center;
      squares += difference * difference;
    }
  }
  const float inverse = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(C) + eps);
  for (index_t c = lane * W; c < C; c += warp_size * W) {
    Pack<T, W> pack = source.again(row, c);
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

// The gradient of x of each row goes to sink(row, column, slopes), W columns at a time.
template <typename T, int W, typename Sink>
__global__ void __launch_bounds__(norm_rows_per_block* warp_size)
    norm_backward_kernel(Sink sink,
                         RowsOf<const T> dy,
                         RowsOf<const T> x,
                         const T* weight,
                         const float* mean,
                         const float* rstd,
                         index_t N,
                         index_t C) {
  const index_t row = norm_row_of_warp();
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
    const auto slopes = load<T, W>(dy[row] + c), at = load<T, W>(x[row] + c),
               scales = load<T, W>(weight + c);
    float of_x[W];
    for (int w = 0; w < W; ++w) {
      const float d = to_float(scales.at[w]) * to_float(slopes.at[w]);
      const float normed = (to_float(at.at[w]) - center) * inverse;
      of_x[w] = inverse * (d - mean_d - normed * mean_dx);
    }
    sink(row, c, of_x);
  }
}

template <typename T, int W, typename Source>
void norm_forward(Tensor& y,
                  Tensor& mean,
                  Tensor& rstd,
                  const Source& source,
                  const Tensor& weight,
                  const Tensor& bias,
                  double eps) {
  launch(Runtime::of(y.device()).stream(), blocks_for(y.rows(), norm_rows_per_block),
         norm_rows_per_block * warp_size, norm_forward_kernel<T, W, Source>, rows_of<T>(y),
         mean.data<float>(), rstd.data<float>(), source, weight.data<T>(),
         bias.defined() ? bias.data<T>() : nullptr, y.rows(), y.columns(), eps);
}

template <typename T, int W, typename Sink>
void norm_backward(const Sink& sink,
                   const Tensor& dy,
                   const Tensor& x,
                   const Tensor& weight,
                   const Tensor& mean,
                   const Tensor& rstd) {
  launch(Runtime::of(x.device()).stream(), blocks_for(x.rows(), norm_rows_per_block),
         norm_rows_per_block * warp_size, norm_backward_kernel<T, W, Sink>, sink, rows_of<T>(dy),
         rows_of<T>(x), weight.data<T>(), mean.data<float>(), rstd.data<float>(), x.rows(),
         x.columns());
}

}  // namespace lockstep::cuda
