// The backward pass adds, for each table row, its tokens in ascending order and without atomics on
// floats, so the bits are the same in every run: a stable counting sort of the tokens by row, then
// sums of each row's tokens. A token's place among those of its row is found by comparing it with
// all tokens before it: N^2 / 2 comparisons, a quarter of a millisecond for 64 Ki tokens on an
// H100, less than passes of a radix sort would save.
#include "core/ops/cuda/embedding.hpp"
#include "core/ops/cuda/map.cuh"

namespace lockstep::cuda {
namespace {

constexpr int scan_threads = 1024;
constexpr int rank_threads = 256;
constexpr int sum_warps = 8;
// Rows with more tokens are summed by all warps of a block, each a part of the tokens.
constexpr std::int32_t most_for_a_warp = 64;

template <typename T, int W>
struct Look {
  RowsOf<T> y;
  RowsOf<const T> table;
  const std::int32_t* ids;
  index_t first_row, num_rows;
  bool accumulate;

  __device__ void operator()(index_t i, index_t column) const {
    const index_t row = ids[i] - first_row;
    const bool here = row >= 0 && row < num_rows;
    if (!here && accumulate) return;
    Pack<T, W> pack{};
    if (here) pack = load<T, W>(table[row] + column);
    if (accumulate) {
      const auto before = load<T, W>(y[i] + column);
      for (int w = 0; w < W; ++w)
        pack.at[w] = static_cast<T>(to_float(before.at[w]) + to_float(pack.at[w]));
    }
    store<T, W>(y[i] + column, pack);
  }
};

// The tokens of a table's rows. counts, starts (V_local), order (N): tokens of row r are
// order[starts[r]] ... in ascending order.
struct Sorted {
  std::int32_t *counts, *starts, *order;
};

struct Count {
  std::int32_t* counts;
  const std::int32_t* ids;
  index_t first_row, num_rows;

  __device__ void operator()(index_t, index_t i) const {
    const index_t row = ids[i] - first_row;
    if (row >= 0 && row < num_rows) atomicAdd(&counts[row], 1);
  }
};

// One block: starts[r] = counts[0] + ... + counts[r - 1].
__global__ void __launch_bounds__(scan_threads) scan_kernel(Sorted sorted, index_t num_rows) {
  __shared__ std::int32_t sums[scan_threads];
  __shared__ std::int32_t carry;
  const int me = threadIdx.x;
  if (me == 0) carry = 0;
  for (index_t first = 0; first < num_rows; first += scan_threads) {
    const index_t row = first + me;
    const std::int32_t own = row < num_rows ? sorted.counts[row] : 0;
    sums[me] = own;
    __syncthreads();
    for (int reach = 1; reach < scan_threads; reach *= 2) {
      const std::int32_t before = me >= reach ? sums[me - reach] : 0;
      __syncthreads();
      sums[me] += before;
      __syncthreads();
    }
    if (row < num_rows) sorted.starts[row] = carry + sums[me] - own;
    __syncthreads();
    if (me == scan_threads - 1) carry += sums[me];
    __syncthreads();
  }
}

__global__ void __launch_bounds__(rank_threads) place_kernel(Sorted sorted,
                                                             const std::int32_t* ids,
                                                             index_t N,
                                                             index_t first_row,
                                                             index_t num_rows) {
  __shared__ std::int32_t tile[rank_threads];
  const index_t i = global_thread();
  const std::int32_t id = i < N ? ids[i] : -1;
  std::int32_t rank = 0;
  const index_t block_first = static_cast<index_t>(blockIdx.x) * rank_threads;
  for (index_t first = 0; first <= block_first; first += rank_threads) {
    tile[threadIdx.x] = first + threadIdx.x < N ? ids[first + threadIdx.x] : -1;
    __syncthreads();
    const int n = first < block_first ? rank_threads : static_cast<int>(threadIdx.x);
    for (int j = 0; j < n; ++j) rank += tile[j] == id ? 1 : 0;
    __syncthreads();
  }
  const index_t row = id - first_row;
  if (i < N && row >= 0 && row < num_rows)
    sorted.order[sorted.starts[row] + rank] = static_cast<std::int32_t>(i);
}

// warps: of one table row. Each adds a contiguous part of the row's tokens, and warp 0 adds the
// parts.
template <typename T, typename G, int W, int warps>
__global__ void __launch_bounds__(sum_warps* warp_size)
    sum_kernel(RowsOf<G> dtable, RowsOf<const T> dy, Sorted sorted, index_t num_rows, index_t C) {
  __shared__ float parts[sum_warps][warp_size * W];
  constexpr int rows_per_block = sum_warps / warps;
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  const index_t row = static_cast<index_t>(blockIdx.x) * rows_per_block + warp / warps;
  const std::int32_t count = row < num_rows ? sorted.counts[row] : 0;
  const bool mine = warps == 1 ? count > 0 && count <= most_for_a_warp : count > most_for_a_warp;
  if (!mine) return;  // whole warps, and with several warps to a row whole blocks
  const index_t column = (static_cast<index_t>(blockIdx.y) * warp_size + lane) * W;
  const std::int32_t share = (count + warps - 1) / warps;
  const std::int32_t begin = warp % warps * share;
  const std::int32_t end = begin + share < count ? begin + share : count;
  const std::int32_t* tokens = sorted.order + sorted.starts[row];
  float sums[W] = {};
  if (column < C) {
#pragma unroll 4
    for (std::int32_t t = begin; t < end; ++t) {
      const auto pack = load<T, W>(dy[tokens[t]] + column);
      for (int w = 0; w < W; ++w) sums[w] += to_float(pack.at[w]);
    }
  }
  if constexpr (warps > 1) {
    for (int w = 0; w < W; ++w) parts[warp][lane * W + w] = sums[w];
    __syncthreads();
    if (warp != 0) return;
    for (int other = 1; other < warps; ++other) {
      for (int w = 0; w < W; ++w) sums[w] += parts[other][lane * W + w];
    }
  }
  if (column >= C) return;
  auto to = load<G, W>(dtable[row] + column);
  for (int w = 0; w < W; ++w) to.at[w] = static_cast<G>(to_float(to.at[w]) + sums[w]);
  store<G, W>(dtable[row] + column, to);
}

template <typename T, typename G, int W>
void add_sums(Tensor& dtable, const Tensor& dy, const Sorted& sorted) {
  cudaStream_t stream = Runtime::of(dy.device()).stream();
  const index_t rows = dtable.rows(), C = dy.columns();
  const auto slices = static_cast<unsigned>((C + warp_size * W - 1) / (warp_size * W));
  dim3 light = blocks_for(rows, sum_warps), heavy = blocks_for(rows, 1);
  light.y = heavy.y = slices;
  launch(stream, light, sum_warps * warp_size, sum_kernel<T, G, W, 1>, rows_of<G>(dtable),
         rows_of<T>(dy), sorted, rows, C);
  launch(stream, heavy, sum_warps * warp_size, sum_kernel<T, G, W, sum_warps>, rows_of<G>(dtable),
         rows_of<T>(dy), sorted, rows, C);
}

}  // namespace

void embedding_forward(Tensor& y,
                       const Tensor& ids,
                       const Tensor& table,
                       index_t first_row,
                       Accumulate accumulate) {
  with_type(table.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(y.device()), {y.rows(), y.columns()}, W,
              Look<T, W>{rows_of<T>(y), rows_of<T>(table), ids.data<std::int32_t>(), first_row,
                         table.rows(), accumulate == Accumulate::yes});
        },
        y, table);
  });
}

void embedding_backward(Tensor& dtable, const Tensor& dy, const Tensor& ids, index_t first_row) {
  const index_t N = dy.rows(), rows = dtable.rows();
  if (N == 0 || rows == 0) return;
  Runtime& runtime = Runtime::of(dy.device());
  Tensor counts = Tensor::zeros({rows}, DType::i32, dy.device());
  Tensor starts = Tensor::empty({rows}, DType::i32, dy.device());
  Tensor order = Tensor::empty({N}, DType::i32, dy.device());
  const Sorted sorted{counts.data<std::int32_t>(), starts.data<std::int32_t>(),
                      order.data<std::int32_t>()};
  const auto* id = ids.data<std::int32_t>();
  map(runtime, {1, N}, 1, Count{sorted.counts, id, first_row, rows});
  launch(runtime.stream(), dim3(1), scan_threads, scan_kernel, sorted, rows);
  launch(runtime.stream(), blocks_for(N, rank_threads), rank_threads, place_kernel, sorted, id, N,
         first_row, rows);
  with_type(dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>([&](auto width) { add_sums<T, T, decltype(width)::value>(dtable, dy, sorted); },
                  dy, dtable);
  });
}

}  // namespace lockstep::cuda
