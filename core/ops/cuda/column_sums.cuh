// Two sums over rows at once, per column and without atomics: a block adds a chunk of rows of 32
// packs of columns into a partial sum; a second kernel adds the chunks in order. The cut depends on
// the shape alone, so the same shape gives the same bits.
#pragma once

#include <algorithm>

#include "core/ops/cuda/kernel.cuh"

namespace lockstep::cuda {

constexpr int sum_rows = 8;  // rows a block reads at once: one per warp

// What the two sums are of: term.at(row, column, first, second) sets W values each.
template <typename Term, int W>
__global__ void partial_column_sums(Term term,
                                    index_t N,
                                    index_t C,
                                    index_t rows_per_chunk,
                                    float* partial) {
  __shared__ float first_sums[sum_rows][warp_size * W];
  __shared__ float second_sums[sum_rows][warp_size * W];
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  const index_t column = (static_cast<index_t>(blockIdx.x) * warp_size + lane) * W;
  const index_t begin = static_cast<index_t>(blockIdx.y) * rows_per_chunk;
  const index_t end = begin + rows_per_chunk < N ? begin + rows_per_chunk : N;
  float first[W] = {}, second[W] = {};
  if (column < C) {
    for (index_t row = begin + warp; row < end; row += sum_rows) {
      float a[W], b[W];
      term.at(row, column, a, b);
      for (int w = 0; w < W; ++w) {
        first[w] += a[w];
        second[w] += b[w];
      }
    }
  }
  for (int w = 0; w < W; ++w) {
    first_sums[warp][lane * W + w] = first[w];
    second_sums[warp][lane * W + w] = second[w];
  }
  __syncthreads();
  if (warp != 0 || column >= C) return;
  float* to = partial + static_cast<index_t>(blockIdx.y) * 2 * C + column;
  for (int w = 0; w < W; ++w) {
    float a = 0, b = 0;
    for (int other = 0; other < sum_rows; ++other) {
      a += first_sums[other][lane * W + w];
      b += second_sums[other][lane * W + w];
    }
    to[w] = a;
    to[C + w] = b;
  }
}

// to_first, to_second (C) += the sums; either may be null.
template <typename G>
__global__ void add_partial_sums(const float* partial,
                                 index_t chunks,
                                 index_t C,
                                 G* to_first,
                                 G* to_second) {
  const index_t i = global_thread();
  if (i >= 2 * C) return;
  G* to = i < C ? to_first : to_second;
  if (to == nullptr) return;
  double sum = 0;
  for (index_t chunk = 0; chunk < chunks; ++chunk)
    sum += static_cast<double>(partial[chunk * 2 * C + i]);
  to[i < C ? i : i - C] += static_cast<G>(sum);
}

// Term holds device pointers; N rows of C columns, C a multiple of W.
template <int W, typename Term, typename G>
void add_column_sums_of(Device device,
                        const Term& term,
                        index_t N,
                        index_t C,
                        G* first,
                        G* second) {
  if (N == 0 || C == 0) return;
  const index_t chunks = std::clamp<index_t>(N / 128, 1, 64);
  const index_t rows_per_chunk = (N + chunks - 1) / chunks;
  Tensor partial = Tensor::empty({chunks, 2, C}, DType::f32, device);
  cudaStream_t stream = Runtime::of(device).stream();
  dim3 blocks = blocks_for(C, warp_size * W);
  blocks.y = static_cast<unsigned>(chunks);
  launch(stream, blocks, warp_size * sum_rows, partial_column_sums<Term, W>, term, N, C,
         rows_per_chunk, partial.data<float>());
  launch(stream, blocks_for(2 * C, 256), 256, add_partial_sums<G>, partial.data<float>(), chunks, C,
         first, second);
}

}  // namespace lockstep::cuda
