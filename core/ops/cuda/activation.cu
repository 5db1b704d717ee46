#include "core/ops/cuda/activation.hpp"
#include "core/ops/cuda/map.cuh"

namespace lockstep::cuda {
namespace {

// (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3).
__device__ float gelu_tanh_gate(float x) {
  return 1.0f / (1.0f + expf(-1.5957691216057307f * (x + 0.044715f * x * x * x)));
}

template <Activation activation>
__device__ float value_of(float x) {
  if constexpr (activation == Activation::gelu) return x * normcdff(x);
  if constexpr (activation == Activation::gelu_tanh) return x * gelu_tanh_gate(x);
  return x < 0.0f ? 0.0f : x;  // keeps NaN
}

template <Activation activation>
__device__ float slope_of(float x) {
  if constexpr (activation == Activation::gelu) {
    return normcdff(x) + x * 0.3989422804014327f * expf(-0.5f * x * x);
  }
  if constexpr (activation == Activation::gelu_tanh) {
    const float gate = gelu_tanh_gate(x);
    return gate + x * gate * (1.0f - gate) * 1.5957691216057307f * (1.0f + 0.134145f * x * x);
  }
  return x > 0.0f ? 1.0f : 0.0f;
}

template <Activation activation, typename T, int W>
struct Forward {
  RowsOf<T> y;
  RowsOf<const T> x;

  __device__ void operator()(index_t row, index_t column) const {
    auto pack = load<T, W>(x[row] + column);
    for (int w = 0; w < W; ++w)
      pack.at[w] = static_cast<T>(value_of<activation>(to_float(pack.at[w])));
    store<T, W>(y[row] + column, pack);
  }
};

template <Activation activation, typename T, int W>
struct Backward {
  RowsOf<T> dx;
  RowsOf<const T> dy, x;

  __device__ void operator()(index_t row, index_t column) const {
    const auto at = load<T, W>(x[row] + column);
    auto pack = load<T, W>(dy[row] + column);
    for (int w = 0; w < W; ++w)
      pack.at[w] = static_cast<T>(to_float(pack.at[w]) * slope_of<activation>(to_float(at.at[w])));
    store<T, W>(dx[row] + column, pack);
  }
};

template <Activation activation>
void run_forward(Tensor& y, const Tensor& x) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(x.device()), walk_of(x, y), W,
              Forward<activation, T, W>{rows_of<T>(y), rows_of<T>(x)});
        },
        x, y);
  });
}

template <Activation activation>
void run_backward(Tensor& dx, const Tensor& dy, const Tensor& x) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(x.device()), walk_of(x, dx, dy), W,
              Backward<activation, T, W>{rows_of<T>(dx), rows_of<T>(dy), rows_of<T>(x)});
        },
        x, dx, dy);
  });
}

}  // namespace

void activation_forward(Tensor& y, const Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return run_forward<Activation::gelu>(y, x);
    case Activation::gelu_tanh:
      return run_forward<Activation::gelu_tanh>(y, x);
    case Activation::relu:
      return run_forward<Activation::relu>(y, x);
  }
}

void activation_backward(Tensor& dx, const Tensor& dy, const Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return run_backward<Activation::gelu>(dx, dy, x);
    case Activation::gelu_tanh:
      return run_backward<Activation::gelu_tanh>(dx, dy, x);
    case Activation::relu:
      return run_backward<Activation::relu>(dx, dy, x);
  }
}

}  // namespace lockstep::cuda
