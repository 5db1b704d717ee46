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

// x + bias, W columns of a row.
template <typename T, int W>
struct Biased {
  RowsOf<const T> x;
  const T* bias;  // may be null

  __device__ void at(index_t row, index_t column, float (&sums)[W]) const {
    const auto pack = load<T, W>(x[row] + column);
    for (int w = 0; w < W; ++w) sums[w] = to_float(pack.at[w]);
    if (bias == nullptr) return;
    const auto shifts = load<T, W>(bias + column);
    for (int w = 0; w < W; ++w) sums[w] += to_float(shifts.at[w]);
  }
};

template <Activation activation, typename T, int W>
struct Forward {
  RowsOf<T> y;
  Biased<T, W> x;

  __device__ void operator()(index_t row, index_t column) const {
    float at[W];
    x.at(row, column, at);
    Pack<T, W> pack;
    for (int w = 0; w < W; ++w) pack.at[w] = static_cast<T>(value_of<activation>(at[w]));
    store<T, W>(y[row] + column, pack);
  }
};

template <Activation activation, typename T, int W>
struct Backward {
  RowsOf<T> dx;
  RowsOf<const T> dy;
  Biased<T, W> x;

  __device__ void operator()(index_t row, index_t column) const {
    float at[W];
    x.at(row, column, at);
    auto pack = load<T, W>(dy[row] + column);
    for (int w = 0; w < W; ++w)
      pack.at[w] = static_cast<T>(to_float(pack.at[w]) * slope_of<activation>(at[w]));
    store<T, W>(dx[row] + column, pack);
  }
};

// A whole tensor is one long row where nothing depends on the column.
template <typename... X>
Walk walk_of_biased(const Tensor& bias, const Tensor& x, const X&... others) {
  return bias.defined() ? Walk{x.rows(), x.columns()} : walk_of(x, others...);
}

template <typename T, int W>
Biased<T, W> biased(const Tensor& x, const Tensor& bias) {
  return {rows_of<T>(x), bias.defined() ? bias.data<T>() : nullptr};
}

template <Activation activation>
void run_forward(Tensor& y, const Tensor& x, const Tensor& bias) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(x.device()), walk_of_biased(bias, x, y), W,
              Forward<activation, T, W>{rows_of<T>(y), biased<T, W>(x, bias)});
        },
        x, y, bias);
  });
}

template <Activation activation>
void run_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& bias) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(x.device()), walk_of_biased(bias, x, dx, dy), W,
              Backward<activation, T, W>{rows_of<T>(dx), rows_of<T>(dy), biased<T, W>(x, bias)});
        },
        x, dx, dy, bias);
  });
}

}  // namespace

void activation_forward(Tensor& y, const Tensor& x, const Tensor& bias, Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return run_forward<Activation::gelu>(y, x, bias);
    case Activation::gelu_tanh:
      return run_forward<Activation::gelu_tanh>(y, x, bias);
    case Activation::relu:
      return run_forward<Activation::relu>(y, x, bias);
  }
}

void activation_backward(Tensor& dx,
                         const Tensor& dy,
                         const Tensor& x,
                         const Tensor& bias,
                         Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return run_backward<Activation::gelu>(dx, dy, x, bias);
    case Activation::gelu_tanh:
      return run_backward<Activation::gelu_tanh>(dx, dy, x, bias);
    case Activation::relu:
      return run_backward<Activation::relu>(dx, dy, x, bias);
  }
}

}  // namespace lockstep::cuda
