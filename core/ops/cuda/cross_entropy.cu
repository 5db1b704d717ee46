// One block per row of logits. Exponentials in float, their sums in double across the block.
#include <algorithm>

#include "core/ops/cuda/cross_entropy.hpp"
#include "core/ops/cuda/kernel.cuh"

namespace lockstep::cuda {
namespace {

constexpr int threads = 256;
constexpr int warps = threads / warp_size;

// Columns of this rank that are words, not padding.
index_t real_columns(const Tensor& logits, VocabularySlice slice) {
  return std::clamp<index_t>(slice.V - slice.first_column, 0, logits.shape()[1]);
}

// f(column) for this thread's real columns, in ascending order; the last pack may be cut.
template <int W, typename F>
__device__ void for_columns(index_t columns, F&& f) {
  for (index_t first = static_cast<index_t>(threadIdx.x) * W; first < columns;
       first += threads * W) {
    f(first, columns - first < W ? static_cast<int>(columns - first) : W);
  }
}

struct Largest {
  float value;
  index_t column;
};

__device__ Largest greater_of(Largest a, Largest b) {
  return b.value > a.value || (b.value == a.value && b.column < a.column) ? b : a;
}

template <typename T, int W>
__global__ void __launch_bounds__(threads) max_kernel(double* largest,
                                                      std::int64_t* argmax,
                                                      RowsOf<const T> logits,
                                                      index_t columns,
                                                      VocabularySlice slice) {
  __shared__ float values[warps];
  __shared__ index_t places[warps];
  const index_t row = blockIdx.x;
  Largest best{-INFINITY, columns};
  for_columns<W>(columns, [&](index_t first, int n) {
    const auto pack = load<T, W>(logits[row] + first);
    for (int w = 0; w < n; ++w) {
      const float value = to_float(pack.at[w]);
      if (value > best.value) best = {value, first + w};
    }
  });
  for (int half = warp_size / 2; half > 0; half /= 2) {
    best = greater_of(best, {__shfl_xor_sync(all_lanes, best.value, half),
                             __shfl_xor_sync(all_lanes, best.column, half)});
  }
  if (threadIdx.x % warp_size == 0) {
    values[threadIdx.x / warp_size] = best.value;
    places[threadIdx.x / warp_size] = best.column;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int warp = 1; warp < warps; ++warp) best = greater_of(best, {values[warp], places[warp]});
  largest[row] = static_cast<double>(best.value);
  if (argmax != nullptr)
    argmax[row] = best.column == columns ? slice.V : slice.first_column + best.column;
}

template <typename T, int W>
__global__ void __launch_bounds__(threads) statistics_kernel(double* sums,
                                                             RowsOf<const T> logits,
                                                             const std::int32_t* targets,
                                                             const double* largest,
                                                             index_t N,
                                                             index_t columns,
                                                             index_t first_column) {
  __shared__ double shared[warps];
  const index_t row = blockIdx.x;
  const auto center = static_cast<float>(largest[row]);
  double sum = 0;
  for_columns<W>(columns, [&](index_t first, int n) {
    const auto pack = load<T, W>(logits[row] + first);
    float part = 0;
    for (int w = 0; w < n; ++w) part += expf(to_float(pack.at[w]) - center);
    sum += static_cast<double>(part);
  });
  sum = block_sum(sum, shared);
  if (threadIdx.x != 0) return;
  const index_t at = targets[row] - first_column;
  sums[row] = sum;
  sums[N + row] = at >= 0 && at < columns ? static_cast<double>(to_float(logits[row][at])) : 0.0;
}

// One block; a fixed order for a given N.
__global__ void __launch_bounds__(threads) loss_kernel(std::int64_t* limbs,
                                                       const double* largest,
                                                       const double* sums,
                                                       const std::int32_t* targets,
                                                       index_t N) {
  __shared__ double shared[warps];
  double sum = 0;
  for (index_t row = threadIdx.x; row < N; row += threads) {
    if (targets[row] >= 0) sum += largest[row] + log(sums[row]) - sums[N + row];
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x != 0) return;
  const ExactSum::Limbs terms = ExactSum::limbs_of(sum);
  for (std::size_t i = 0; i < terms.size(); ++i) limbs[i] += terms[i];
}

template <typename T, int W>
__global__ void __launch_bounds__(threads) backward_kernel(RowsOf<T> logits,
                                                           const std::int32_t* targets,
                                                           const double* largest,
                                                           const double* sums,
                                                           double factor,
                                                           index_t columns,
                                                           index_t all_columns,
                                                           index_t first_column) {
  const index_t row = blockIdx.x;
  const index_t target = targets[row];
  const index_t at = target - first_column, live = target < 0 ? 0 : columns;
  const auto center = static_cast<float>(largest[row]);
  const auto by = static_cast<float>(factor / sums[row]);
  for_columns<W>(all_columns, [&](index_t first, int n) {
    auto pack = load<T, W>(logits[row] + first);
    for (int w = 0; w < n; ++w) {
      const index_t column = first + w;
      float value = column < live ? by * expf(to_float(pack.at[w]) - center) : 0.0f;
      if (column == at && column < live) value -= static_cast<float>(factor);
      pack.at[w] = static_cast<T>(value);
    }
    store<T, W>(logits[row] + first, pack);
  });
}

}  // namespace

void cross_entropy_max(Tensor& largest,
                       Tensor& argmax,
                       const Tensor& logits,
                       VocabularySlice slice) {
  with_type(logits.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          launch(Runtime::of(logits.device()).stream(), blocks_for(logits.shape()[0], 1), threads,
                 max_kernel<T, decltype(width)::value>, largest.data<double>(),
                 argmax.defined() ? argmax.data<std::int64_t>() : nullptr, rows_of<T>(logits),
                 real_columns(logits, slice), slice);
        },
        logits);
  });
}

void cross_entropy_statistics(Tensor& statistics,
                              const Tensor& logits,
                              const Tensor& targets,
                              const Tensor& largest,
                              VocabularySlice slice) {
  with_type(logits.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          launch(Runtime::of(logits.device()).stream(), blocks_for(logits.shape()[0], 1), threads,
                 statistics_kernel<T, decltype(width)::value>, statistics.data<double>(),
                 rows_of<T>(logits), targets.data<std::int32_t>(), largest.data<double>(),
                 logits.shape()[0], real_columns(logits, slice), slice.first_column);
        },
        logits);
  });
}

void add_cross_entropy_loss(Tensor& limbs,
                            const Tensor& largest,
                            const Tensor& statistics,
                            const Tensor& targets) {
  launch(Runtime::of(largest.device()).stream(), dim3(1), threads, loss_kernel,
         limbs.data<std::int64_t>(), largest.data<double>(), statistics.data<double>(),
         targets.data<std::int32_t>(), targets.count());
}

void cross_entropy_backward(Tensor& logits,
                            const Tensor& targets,
                            const Tensor& largest,
                            const Tensor& statistics,
                            double factor,
                            VocabularySlice slice) {
  with_type(logits.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          launch(Runtime::of(logits.device()).stream(), blocks_for(logits.shape()[0], 1), threads,
                 backward_kernel<T, decltype(width)::value>, rows_of<T>(logits),
                 targets.data<std::int32_t>(), largest.data<double>(), statistics.data<double>(),
                 factor, real_columns(logits, slice), logits.shape()[1], slice.first_column);
        },
        logits);
  });
}

}  // namespace lockstep::cuda
