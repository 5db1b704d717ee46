#include "core/ops/cuda/drop_rule.cuh"
#include "core/ops/cuda/map.cuh"
#include "core/ops/cuda/norm_rows.cuh"
#include "core/ops/cuda/residual.hpp"

namespace lockstep::cuda {
namespace {

// sum = residual + mask(x + bias) / (1 - p), W columns of a row at a time. What a thread stored it
// reads again.
template <typename T, int W>
struct BranchSum {
  RowsOf<T> sum;
  RowsOf<const T> x, residual;
  const T* bias;  // may be null
  DropRule rule;

  __device__ Pack<T, W> first(index_t row, index_t column) const {
    auto pack = load<T, W>(x[row] + column);
    const auto other = load<T, W>(residual[row] + column);
    float branch[W];
    for (int w = 0; w < W; ++w) branch[w] = to_float(pack.at[w]);
    if (bias != nullptr) {
      const auto shifts = load<T, W>(bias + column);
      for (int w = 0; w < W; ++w) branch[w] += to_float(shifts.at[w]);
    }
    rule.apply(branch, row, column);
    for (int w = 0; w < W; ++w) pack.at[w] = static_cast<T>(to_float(other.at[w]) + branch[w]);
    store<T, W>(sum[row] + column, pack);
    return pack;
  }
  __device__ Pack<T, W> again(index_t row, index_t column) const {
    return load<T, W>(sum[row] + column);
  }
  __device__ void operator()(index_t row, index_t column) const { first(row, column); }
};

template <typename T, int W>
BranchSum<T, W> branch_sum(Tensor& sum,
                           const Tensor& x,
                           const Tensor& bias,
                           const Tensor& residual,
                           const DropoutSpec& dropout) {
  return {rows_of<T>(sum), rows_of<T>(x), rows_of<T>(residual),
          bias.defined() ? bias.data<T>() : nullptr, DropRule(dropout)};
}

// Where the gradient of a sum goes: dsum takes what else reaches the sum, dx what the mask leaves.
template <typename T, int W>
struct BranchGradient {
  RowsOf<T> dsum, dx;     // dx.data may be null
  RowsOf<const T> other;  // other.data may be null
  DropRule rule;

  __device__ void operator()(index_t row, index_t column, const float (&slopes)[W]) const {
    float total[W];
    for (int w = 0; w < W; ++w) total[w] = slopes[w];
    if (other.data != nullptr) {
      const auto more = load<T, W>(other[row] + column);
      for (int w = 0; w < W; ++w) total[w] += to_float(more.at[w]);
    }
    Pack<T, W> pack;
    for (int w = 0; w < W; ++w) pack.at[w] = static_cast<T>(total[w]);
    store<T, W>(dsum[row] + column, pack);
    if (dx.data == nullptr) return;
    rule.apply(total, row, column);
    for (int w = 0; w < W; ++w) pack.at[w] = static_cast<T>(total[w]);
    store<T, W>(dx[row] + column, pack);
  }
};

}  // namespace

void residual_forward(Tensor& sum,
                      const Tensor& x,
                      const Tensor& bias,
                      const Tensor& residual,
                      const DropoutSpec& dropout) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          map(Runtime::of(x.device()), {x.rows(), x.columns()}, W,
              branch_sum<T, W>(sum, x, bias, residual, dropout));
        },
        x, sum, bias, residual);
  });
}

void residual_norm_forward(Tensor& sum,
                           Tensor& y,
                           Tensor& mean,
                           Tensor& rstd,
                           const Tensor& x,
                           const Tensor& bias,
                           const Tensor& residual,
                           const Tensor& weight,
                           const Tensor& norm_bias,
                           double eps,
                           const DropoutSpec& dropout) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          norm_forward<T, W>(y, mean, rstd, branch_sum<T, W>(sum, x, bias, residual, dropout),
                             weight, norm_bias, eps);
        },
        x, sum, y, bias, residual, weight, norm_bias);
  });
}

void residual_norm_backward(Tensor& dsum,
                            Tensor& dx,
                            const Tensor& dy,
                            const Tensor& other,
                            const Tensor& sum,
                            const Tensor& weight,
                            const Tensor& mean,
                            const Tensor& rstd,
                            const DropoutSpec& dropout) {
  with_type(sum.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const RowsOf<T> no_dx{nullptr, 0};
    const RowsOf<const T> no_other{nullptr, 0};
    with_width<T>(
        [&](auto width) {
          constexpr int W = decltype(width)::value;
          const BranchGradient<T, W> gradient{
              rows_of<T>(dsum), dx.defined() ? rows_of<T>(dx) : no_dx,
              other.defined() ? rows_of<T>(other) : no_other, DropRule(dropout)};
          norm_backward<T, W>(gradient, dy, sum, weight, mean, rstd);
        },
        sum, dsum, dx, dy, other, weight);
  });
}

}  // namespace lockstep::cuda
