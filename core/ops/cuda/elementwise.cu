#include "core/ops/cuda/column_sums.cuh"
#include "core/ops/cuda/elementwise.hpp"
#include "core/ops/cuda/embedding.hpp"
#include "core/ops/cuda/map.cuh"

namespace lockstep::cuda {
namespace {

template <typename T, int W>
struct Add {
  RowsOf<T> y;
  RowsOf<const T> a, b;  // b of stride 0: one row added to all

  __device__ void operator()(index_t row, index_t column) const {
    auto pack = load<T, W>(a[row] + column);
    const auto other = load<T, W>(b[row] + column);
    for (int w = 0; w < W; ++w)
      pack.at[w] = static_cast<T>(to_float(pack.at[w]) + to_float(other.at[w]));
    store<T, W>(y[row] + column, pack);
  }
};

template <typename T, int W>
struct Tanh {
  RowsOf<T> y;
  RowsOf<const T> x;

  __device__ void operator()(index_t row, index_t column) const {
    auto pack = load<T, W>(x[row] + column);
    for (int w = 0; w < W; ++w) pack.at[w] = static_cast<T>(tanhf(to_float(pack.at[w])));
    store<T, W>(y[row] + column, pack);
  }
};

template <typename T, int W>
struct TanhBackward {
  RowsOf<T> dx;
  RowsOf<const T> dy, y;

  __device__ void operator()(index_t row, index_t column) const {
    auto pack = load<T, W>(dy[row] + column);
    const auto values = load<T, W>(y[row] + column);
    for (int w = 0; w < W; ++w) {
      const float value = to_float(values.at[w]);
      pack.at[w] = static_cast<T>(to_float(pack.at[w]) * (1.0f - value * value));
    }
    store<T, W>(dx[row] + column, pack);
  }
};

template <typename T, int W>
struct Scale {
  RowsOf<T> x;
  float factor;

  __device__ void operator()(index_t row, index_t column) const {
    auto pack = load<T, W>(x[row] + column);
    for (int w = 0; w < W; ++w) pack.at[w] = static_cast<T>(to_float(pack.at[w]) * factor);
    store<T, W>(x[row] + column, pack);
  }
};

template <typename T>
struct Fill {
  RowsOf<T> x;
  T value;

  __device__ void operator()(index_t row, index_t column) const { x[row][column] = value; }
};

template <typename T, int W>
struct Gather {
  RowsOf<T> y;
  RowsOf<const T> x;
  const std::int32_t* from;

  __device__ void operator()(index_t row, index_t column) const {
    store<T, W>(y[row] + column, load<T, W>(x[from[row]] + column));
  }
};

template <typename T, int W>
struct ColumnTerm {
  RowsOf<const T> x;

  __device__ void at(index_t row, index_t column, float (&first)[W], float (&second)[W]) const {
    const auto pack = load<T, W>(x[row] + column);
    for (int w = 0; w < W; ++w) {
      first[w] = to_float(pack.at[w]);
      second[w] = 0;
    }
  }
};

constexpr int reduce_threads = 256;
constexpr index_t square_block = 4096;  // elements of one partial sum

template <typename T>
__global__ void square_sums(double* partial, const T* x, index_t n) {
  __shared__ double shared[reduce_threads / warp_size];
  const index_t begin = static_cast<index_t>(blockIdx.x) * square_block;
  const index_t end = begin + square_block < n ? begin + square_block : n;
  double sum = 0;
  for (index_t i = begin + threadIdx.x; i < end; i += reduce_threads) {
    const auto value = static_cast<double>(to_float(x[i]));
    sum += value * value;
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block: the sum of all is added to *total.
__global__ void add_all(double* total, const double* partial, index_t n) {
  __shared__ double shared[reduce_threads / warp_size];
  double sum = 0;
  for (index_t i = threadIdx.x; i < n; i += reduce_threads) sum += partial[i];
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) *total += sum;
}

// All writers write the same.
template <typename T>
struct FindNonfinite {
  const T* x;
  std::int32_t* found;

  __device__ void operator()(index_t, index_t i) const {
    const float value = to_float(x[i]);
    if (!(value - value == 0.0f)) *found = 1;
  }
};

}  // namespace

void add(Tensor& y, const Tensor& a, const Tensor& b) {
  with_type(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(y.device()), walk_of(y, a, b), W,
              Add<T, W>{rows_of<T>(y), rows_of<T>(a), rows_of<T>(b)});
        },
        y, a, b);
  });
}

void add_bias(Tensor& y, const Tensor& bias) {
  with_type(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(y.device()), {y.rows(), y.columns()}, W,
              Add<T, W>{rows_of<T>(y), {y.data<T>(), y.row_stride()}, {bias.data<T>(), 0}});
        },
        y, bias);
  });
}

void add_column_sums(Tensor& dbias, const Tensor& dy) {
  const auto add = [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          float* none = nullptr;
          add_column_sums_of<W>(dy.device(), ColumnTerm<T, W>{rows_of<T>(dy)}, dy.rows(),
                                dy.columns(), dbias.data<float>(), none);
        },
        dy);
  };
  if (dy.dtype() == DType::bf16) return add(Bf16{});
  with_type(dy.dtype(), add);
}

void tanh_forward(Tensor& y, const Tensor& x) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(x.device()), walk_of(x, y), W, Tanh<T, W>{rows_of<T>(y), rows_of<T>(x)});
        },
        x, y);
  });
}

void tanh_backward(Tensor& dx, const Tensor& dy, const Tensor& y) {
  with_type(dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(dy.device()), walk_of(dy, dx, y), W,
              TanhBackward<T, W>{rows_of<T>(dx), rows_of<T>(dy), rows_of<T>(y)});
        },
        dy, dx, y);
  });
}

void scale(Tensor& x, double factor) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(x.device()), walk_of(x), W,
              Scale<T, W>{rows_of<T>(x), static_cast<float>(factor)});
        },
        x);
  });
}

void gather_rows(Tensor& y, const Tensor& x, const Tensor& rows) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(x.device()), {y.rows(), y.columns()}, W,
              Gather<T, W>{rows_of<T>(y), rows_of<T>(x), rows.data<std::int32_t>()});
        },
        x, y);
  });
}

void add_rows(Tensor& dx, const Tensor& dy, const Tensor& rows) {
  cuda::embedding_backward(dx, dy, rows, 0);
}

void add_sum_of_squares(Tensor& total, const Tensor& x) {
  if (x.count() == 0) return;
  const dim3 blocks = blocks_for(x.count(), square_block);
  Tensor partial = Tensor::empty({static_cast<index_t>(blocks.x)}, DType::f64, x.device());
  cudaStream_t stream = Runtime::of(x.device()).stream();
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    launch(stream, blocks, reduce_threads, square_sums<T>, partial.data<double>(), x.data<T>(),
           x.count());
  });
  launch(stream, dim3(1), reduce_threads, add_all, total.data<double>(), partial.data<double>(),
         partial.count());
}

bool all_finite(const Tensor& x) {
  Tensor found = Tensor::zeros({1}, DType::i32, x.device());
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map(Runtime::of(x.device()), {1, x.count()}, 1,
        FindNonfinite<T>{x.data<T>(), found.data<std::int32_t>()});
  });
  return found.to(Device{}).data<std::int32_t>()[0] == 0;
}

void fill(Tensor& x, double value) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    map(Runtime::of(x.device()), walk_of(x), 1,
        Fill<T>{rows_of<T>(x), static_cast<T>(static_cast<float>(value))});
  });
}

}  // namespace lockstep::cuda
