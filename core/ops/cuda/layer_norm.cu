#include "core/ops/cuda/column_sums.cuh"
#include "core/ops/cuda/layer_norm.hpp"
#include "core/ops/cuda/norm_rows.cuh"

namespace lockstep::cuda {
namespace {

template <typename T, int W>
struct Given {
  RowsOf<const T> x;

  __device__ Pack<T, W> first(index_t row, index_t column) const {
    return load<T, W>(x[row] + column);
  }
  __device__ Pack<T, W> again(index_t row, index_t column) const { return first(row, column); }
};

template <typename T, int W>
struct Stored {
  RowsOf<T> dx;

  __device__ void operator()(index_t row, index_t column, const float (&slopes)[W]) const {
    Pack<T, W> pack;
    for (int w = 0; w < W; ++w) pack.at[w] = static_cast<T>(slopes[w]);
    store<T, W>(dx[row] + column, pack);
  }
};

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
          constexpr int W = decltype(width)::value;
          norm_forward<T, W>(y, mean, rstd, Given<T, W>{rows_of<T>(x)}, weight, bias, eps);
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
          constexpr int W = decltype(width)::value;
          norm_backward<T, W>(Stored<T, W>{rows_of<T>(dx)}, dy, x, weight, mean, rstd);
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
