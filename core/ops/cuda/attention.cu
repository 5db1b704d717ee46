// Plain attention: the reference on the device, and what runs where cuDNN's graphs do not. A block
// holds 32 rows, four to a warp; a tile of 32 rows of the other side lies in shared memory, one row
// to a lane. So a warp's 32 scores of a row are one register, and sums over them are warp sums. No
// atomics: queries collect dq, keys collect dk and dv.
#include <cmath>

#include "core/error.hpp"
#include "core/ops/cuda/attention.hpp"
#include "core/ops/cuda/attention_cudnn.hpp"
#include "core/ops/cuda/attention_dropout.cuh"
#include "core/ops/cuda/kernel.cuh"

namespace lockstep::cuda {
namespace {

constexpr int tile = 32;
constexpr int warps = 8;
constexpr int threads = warps * warp_size;
constexpr int rows_per_warp = tile / warps;
constexpr int most_head_size = 256;
constexpr int most_chunks = most_head_size / warp_size;  // of 32 columns, one to a lane

struct Shape {
  index_t T_q, T_k, heads, HS;
  int first_query, first_key;  // positions of row 0
  int ahead;                   // key row i + ahead is at the position of query row i
  bool causal;
  float scale;
  const std::int32_t* lengths;  // (B), may be null
  ProbabilityDropout dropout;
  float keep_factor;  // 1 / (1 - dropout)
};

// What a block works on: one head of one sample.
struct Piece {
  index_t sample, head, T_q, T_k;  // T_q, T_k: rows that take part
};

// Of `rows` rows from position `first` on, those at positions below `length`.
__device__ inline index_t rows_below(index_t length, index_t first, index_t rows) {
  const index_t n = length - first;
  return n < 0 ? 0 : n < rows ? n : rows;
}

__device__ Piece piece_of(const Shape& shape) {
  const index_t sample = blockIdx.x / shape.heads, head = blockIdx.x % shape.heads;
  Piece piece{sample, head, shape.T_q, shape.T_k};
  if (shape.lengths != nullptr) {
    const index_t length = shape.lengths[sample];
    piece.T_q = rows_below(length, shape.first_query, shape.T_q);
    piece.T_k = rows_below(length, shape.first_key, shape.T_k);
  }
  return piece;
}

// The head's part of row `row` of the piece's sample in a matrix (B * T, heads * HS).
template <typename T>
__device__ T* head_row(RowsOf<T> x,
                       const Piece& piece,
                       const Shape& shape,
                       index_t T_all,
                       index_t row) {
  return x[piece.sample * T_all + row] + piece.head * shape.HS;
}

// A column more than a row is long: lanes that read one column of 32 rows meet 32 banks.
struct Tile {
  float* at;
  index_t stride;

  __device__ float* operator[](index_t row) const { return at + row * stride; }
};

// Rows [first, first + 32) of x; zeros past `rows`. All threads.
template <typename T>
__device__ void load_tile(Tile to,
                          RowsOf<const T> x,
                          const Piece& piece,
                          const Shape& shape,
                          index_t T_all,
                          index_t rows,
                          index_t first) {
  __syncthreads();  // the tile before this one is no longer read
  for (index_t i = threadIdx.x; i < tile * shape.HS; i += threads) {
    const index_t row = i / shape.HS, column = i % shape.HS;
    to[row][column] =
        first + row < rows ? to_float(head_row(x, piece, shape, T_all, first + row)[column]) : 0.0f;
  }
  __syncthreads();
}

// A row in global memory times this lane's row of the tile.
template <typename T>
__device__ float dot(const T* row, Tile tile_rows, index_t HS) {
  const float* other = tile_rows[threadIdx.x % warp_size];
  float sum = 0;
  for (index_t d = 0; d < HS; ++d) sum += to_float(row[d]) * other[d];
  return sum;
}

// sums += sum over lanes l of (lane l's weight) * (row l of the tile); this lane's columns.
__device__ inline void add_weighted(float (&sums)[most_chunks],
                                    float weight,
                                    Tile tile_rows,
                                    index_t HS) {
  const int lane = threadIdx.x % warp_size;
  for (int l = 0; l < warp_size; ++l) {
    const float by = __shfl_sync(all_lanes, weight, l);
    const float* row = tile_rows[l];
#pragma unroll
    for (int chunk = 0; chunk < most_chunks; ++chunk) {
      const int column = chunk * warp_size + lane;
      if (column < HS) sums[chunk] += by * row[column];
    }
  }
}

template <typename T>
__device__ void store_row(T* to, const float (&sums)[most_chunks], float factor, index_t HS) {
#pragma unroll
  for (int chunk = 0; chunk < most_chunks; ++chunk) {
    const index_t column = chunk * warp_size + threadIdx.x % warp_size;
    if (column < HS) to[column] = static_cast<T>(sums[chunk] * factor);
  }
}

__device__ inline bool visible(const Shape& shape, const Piece& piece, index_t i, index_t j) {
  return i < piece.T_q && j < piece.T_k && (!shape.causal || j <= i + shape.ahead);
}

// 1 / (1 - p) where the probability of (i, j) is kept, else 0.
__device__ inline float kept(const Shape& shape, const Piece& piece, index_t i, index_t j) {
  if (!shape.dropout.drops()) return 1.0f;
  const index_t query = shape.first_query + i, key = shape.first_key + j;
  const PhiloxCounter words = shape.dropout.words(piece.sample, piece.head, query, key / 4);
  return shape.dropout.keeps(words[static_cast<unsigned>(key % 4)]) ? shape.keep_factor : 0.0f;
}

__device__ inline index_t lesser(index_t a, index_t b) { return a < b ? a : b; }

// This warp's row r of the block's rows, which start at `first`.
__device__ inline index_t own_row(index_t first, int r) {
  return first + threadIdx.x / warp_size * rows_per_warp + r;
}

template <typename T>
__global__ void __launch_bounds__(threads, 1) forward_kernel(RowsOf<T> y,
                                                             float* lse,
                                                             RowsOf<const T> q,
                                                             RowsOf<const T> k,
                                                             RowsOf<const T> v,
                                                             Shape shape) {
  __shared__ float memory[tile * (most_head_size + 1)];
  const Tile rows{memory, shape.HS + 1};
  const Piece piece = piece_of(shape);
  const index_t HS = shape.HS, first = static_cast<index_t>(blockIdx.y) * tile;
  const int lane = threadIdx.x % warp_size;
  float sums[rows_per_warp][most_chunks] = {};
  float row_max[rows_per_warp], row_sum[rows_per_warp], p[rows_per_warp];
  for (int r = 0; r < rows_per_warp; ++r) {
    row_max[r] = -INFINITY;
    row_sum[r] = 0;
  }
  index_t end = first < piece.T_q ? piece.T_k : 0;
  if (shape.causal) end = lesser(end, first + tile + shape.ahead);
  for (index_t j0 = 0; j0 < end; j0 += tile) {
    load_tile(rows, k, piece, shape, shape.T_k, piece.T_k, j0);
#pragma unroll
    for (int r = 0; r < rows_per_warp; ++r) {
      const index_t i = lesser(own_row(first, r), shape.T_q - 1);
      const bool seen = visible(shape, piece, own_row(first, r), j0 + lane);
      const float product = dot(head_row(q, piece, shape, shape.T_q, i), rows, HS) * shape.scale;
      const float tile_max = warp_max(seen ? product : -INFINITY);
      if (tile_max > row_max[r]) {
        const float shrink = expf(row_max[r] - tile_max);
        row_sum[r] *= shrink;
        row_max[r] = tile_max;
#pragma unroll
        for (int chunk = 0; chunk < most_chunks; ++chunk) sums[r][chunk] *= shrink;
      }
      p[r] = seen ? expf(product - row_max[r]) : 0.0f;
      row_sum[r] += warp_sum(p[r]);
      if (seen) p[r] *= kept(shape, piece, own_row(first, r), j0 + lane);
    }
    load_tile(rows, v, piece, shape, shape.T_k, piece.T_k, j0);
#pragma unroll
    for (int r = 0; r < rows_per_warp; ++r) add_weighted(sums[r], p[r], rows, HS);
  }
#pragma unroll
  for (int r = 0; r < rows_per_warp; ++r) {
    const index_t i = own_row(first, r);
    if (i >= shape.T_q) continue;
    const bool any = row_sum[r] != 0;  // false for rows past the length; NaN counts as any
    store_row(head_row(y, piece, shape, shape.T_q, i), sums[r], any ? 1.0f / row_sum[r] : 0.0f, HS);
    if (lane == 0) {
      lse[static_cast<index_t>(blockIdx.x) * shape.T_q + i] =
          any ? row_max[r] + logf(row_sum[r]) : 0.0f;
    }
  }
}

// dots (B, heads, T_q) = dy . y of each row; a warp per row.
template <typename T>
__global__ void __launch_bounds__(threads)
    dots_kernel(float* dots, RowsOf<const T> dy, RowsOf<const T> y, Shape shape) {
  const Piece piece = piece_of(shape);
  const index_t i = static_cast<index_t>(blockIdx.y) * warps + threadIdx.x / warp_size;
  if (i >= shape.T_q) return;
  const T* a = head_row(dy, piece, shape, shape.T_q, i);
  const T* b = head_row(y, piece, shape, shape.T_q, i);
  float sum = 0;
  for (index_t d = threadIdx.x % warp_size; d < shape.HS; d += warp_size)
    sum += to_float(a[d]) * to_float(b[d]);
  sum = warp_sum(sum);
  if (threadIdx.x % warp_size == 0) dots[static_cast<index_t>(blockIdx.x) * shape.T_q + i] = sum;
}

// What the backward kernels read. lse and dots: (B, heads, T_q).
template <typename T>
struct Inputs {
  RowsOf<const T> dy, q, k, v;
  const float *lse, *dots;
};

// dS = P (dP keep - dots) scale of query i and this lane's key, from the two products.
__device__ inline float score_gradient(const Shape& shape,
                                       float probability,
                                       float dp,
                                       float keep,
                                       float row_dot) {
  return probability * (dp * keep - row_dot) * shape.scale;
}

template <typename T>
__global__ void __launch_bounds__(threads) dq_kernel(RowsOf<T> dq, Inputs<T> in, Shape shape) {
  __shared__ float memory[tile * (most_head_size + 1)];
  const Tile rows{memory, shape.HS + 1};
  const Piece piece = piece_of(shape);
  const index_t HS = shape.HS, first = static_cast<index_t>(blockIdx.y) * tile;
  const int lane = threadIdx.x % warp_size;
  const index_t statistics = static_cast<index_t>(blockIdx.x) * shape.T_q;
  float sums[rows_per_warp][most_chunks] = {};
  float dp[rows_per_warp];
  index_t end = first < piece.T_q ? piece.T_k : 0;
  if (shape.causal) end = lesser(end, first + tile + shape.ahead);
  for (index_t j0 = 0; j0 < end; j0 += tile) {
    load_tile(rows, in.v, piece, shape, shape.T_k, piece.T_k, j0);
#pragma unroll
    for (int r = 0; r < rows_per_warp; ++r) {
      const index_t i = lesser(own_row(first, r), shape.T_q - 1);
      dp[r] = dot(head_row(in.dy, piece, shape, shape.T_q, i), rows, HS);
    }
    load_tile(rows, in.k, piece, shape, shape.T_k, piece.T_k, j0);
#pragma unroll
    for (int r = 0; r < rows_per_warp; ++r) {
      const index_t i = lesser(own_row(first, r), shape.T_q - 1);
      const float product = dot(head_row(in.q, piece, shape, shape.T_q, i), rows, HS) * shape.scale;
      float ds = 0;
      if (visible(shape, piece, own_row(first, r), j0 + lane)) {
        ds = score_gradient(shape, expf(product - in.lse[statistics + i]), dp[r],
                            kept(shape, piece, i, j0 + lane), in.dots[statistics + i]);
      }
      add_weighted(sums[r], ds, rows, HS);
    }
  }
#pragma unroll
  for (int r = 0; r < rows_per_warp; ++r) {
    const index_t i = own_row(first, r);
    if (i < shape.T_q) store_row(head_row(dq, piece, shape, shape.T_q, i), sums[r], 1.0f, HS);
  }
}

// Rows are keys here, lanes are queries.
template <typename T>
__global__ void __launch_bounds__(threads)
    dk_dv_kernel(RowsOf<T> dk, RowsOf<T> dv, Inputs<T> in, Shape shape) {
  __shared__ float memory[tile * (most_head_size + 1)];
  const Tile rows{memory, shape.HS + 1};
  const Piece piece = piece_of(shape);
  const index_t HS = shape.HS, first = static_cast<index_t>(blockIdx.y) * tile;
  const int lane = threadIdx.x % warp_size;
  const index_t statistics = static_cast<index_t>(blockIdx.x) * shape.T_q;
  float k_sums[rows_per_warp][most_chunks] = {}, v_sums[rows_per_warp][most_chunks] = {};
  float p[rows_per_warp];
  const index_t end = first < piece.T_k ? piece.T_q : 0;
  const index_t begin = shape.causal && first > shape.ahead ? first - shape.ahead : 0;
  for (index_t i0 = begin; i0 < end; i0 += tile) {
    const index_t i = lesser(i0 + lane, shape.T_q - 1);
    const float lse = in.lse[statistics + i], row_dot = in.dots[statistics + i];
    load_tile(rows, in.q, piece, shape, shape.T_q, piece.T_q, i0);
#pragma unroll
    for (int r = 0; r < rows_per_warp; ++r) {
      const index_t j = lesser(own_row(first, r), shape.T_k - 1);
      const float product = dot(head_row(in.k, piece, shape, shape.T_k, j), rows, HS) * shape.scale;
      p[r] = visible(shape, piece, i0 + lane, own_row(first, r)) ? expf(product - lse) : 0.0f;
    }
    load_tile(rows, in.dy, piece, shape, shape.T_q, piece.T_q, i0);
#pragma unroll
    for (int r = 0; r < rows_per_warp; ++r) {
      const index_t j = lesser(own_row(first, r), shape.T_k - 1);
      const float dp = dot(head_row(in.v, piece, shape, shape.T_k, j), rows, HS);
      const bool seen = visible(shape, piece, i0 + lane, own_row(first, r));
      const float keep = seen ? kept(shape, piece, i, j) : 0.0f;
      add_weighted(v_sums[r], p[r] * keep, rows, HS);
      p[r] = seen ? score_gradient(shape, p[r], dp, keep, row_dot) : 0.0f;
    }
    load_tile(rows, in.q, piece, shape, shape.T_q, piece.T_q, i0);
#pragma unroll
    for (int r = 0; r < rows_per_warp; ++r) add_weighted(k_sums[r], p[r], rows, HS);
  }
#pragma unroll
  for (int r = 0; r < rows_per_warp; ++r) {
    const index_t j = own_row(first, r);
    if (j >= shape.T_k) continue;
    store_row(head_row(dk, piece, shape, shape.T_k, j), k_sums[r], 1.0f, HS);
    store_row(head_row(dv, piece, shape, shape.T_k, j), v_sums[r], 1.0f, HS);
  }
}

Shape shape_of(const AttentionSpec& spec) {
  require(spec.head_size <= most_head_size, "heads of ", spec.head_size,
          " elements: --device cuda takes up to ", most_head_size);
  return {.T_q = spec.T_q,
          .T_k = spec.T_k,
          .heads = spec.heads,
          .HS = spec.head_size,
          .first_query = static_cast<int>(spec.first_query),
          .first_key = static_cast<int>(spec.first_key),
          .ahead = static_cast<int>(spec.first_query - spec.first_key),
          .causal = spec.mask == Mask::causal,
          .scale = static_cast<float>(spec.scale),
          .lengths = spec.lengths.defined() ? spec.lengths.data<std::int32_t>() : nullptr,
          .dropout = ProbabilityDropout(spec),
          .keep_factor = static_cast<float>(1.0 / (1.0 - spec.dropout))};
}

// One block per head of a sample (x) and `per_block` of its rows (y).
dim3 blocks_of(const AttentionSpec& spec, index_t rows, int per_block) {
  dim3 blocks = blocks_for(spec.B * spec.heads, 1);
  blocks.y = static_cast<unsigned>((rows + per_block - 1) / per_block);
  return blocks;
}

}  // namespace

void attention_forward(Tensor& y,
                       Tensor& lse,
                       const Tensor& q,
                       const Tensor& k,
                       const Tensor& v,
                       const AttentionSpec& spec) {
  if (uses_cudnn(q, spec)) return cudnn_attention_forward(y, lse, q, k, v, spec);
  with_type(q.dtype(), [&](auto zero) {
    using T = decltype(zero);
    launch(Runtime::of(q.device()).stream(), blocks_of(spec, spec.T_q, tile), threads,
           forward_kernel<T>, rows_of<T>(y), lse.data<float>(), rows_of<T>(q), rows_of<T>(k),
           rows_of<T>(v), shape_of(spec));
  });
}

void attention_backward(Tensor& dq,
                        Tensor& dk,
                        Tensor& dv,
                        const Tensor& dy,
                        const Tensor& q,
                        const Tensor& k,
                        const Tensor& v,
                        const Tensor& y,
                        const Tensor& lse,
                        const AttentionSpec& spec) {
  if (uses_cudnn(q, spec)) return cudnn_attention_backward(dq, dk, dv, dy, q, k, v, y, lse, spec);
  cudaStream_t stream = Runtime::of(q.device()).stream();
  Tensor dots = Tensor::empty({lse.count()}, DType::f32, q.device());
  const Shape shape = shape_of(spec);
  with_type(q.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const Inputs<T> in{rows_of<T>(dy), rows_of<T>(q),     rows_of<T>(k),
                       rows_of<T>(v),  lse.data<float>(), dots.data<float>()};
    launch(stream, blocks_of(spec, spec.T_q, warps), threads, dots_kernel<T>, dots.data<float>(),
           rows_of<T>(dy), rows_of<T>(y), shape);
    launch(stream, blocks_of(spec, spec.T_q, tile), threads, dq_kernel<T>, rows_of<T>(dq), in,
           shape);
    launch(stream, blocks_of(spec, spec.T_k, tile), threads, dk_dv_kernel<T>, rows_of<T>(dk),
           rows_of<T>(dv), in, shape);
  });
}

index_t attention_scratch_bytes(Device device, const AttentionSpec& spec, bool backward) {
  if (cuda::why_plain_attention(device, spec).empty())
    return cudnn_scratch_bytes(device, spec, backward);
  const index_t dots = backward ? spec.B * spec.heads * spec.T_q : 0;
  return dots * static_cast<index_t>(size_of(DType::f32));
}

}  // namespace lockstep::cuda
