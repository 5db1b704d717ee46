#pragma once

#include "core/ops/elementwise.hpp"

namespace lockstep::cuda {

void add(Tensor& y, const Tensor& a, const Tensor& b);
void add_bias(Tensor& y, const Tensor& bias);
void add_column_sums(Tensor& dbias, const Tensor& dy);
void tanh_forward(Tensor& y, const Tensor& x);
void tanh_backward(Tensor& dx, const Tensor& dy, const Tensor& y);
void scale(Tensor& x, double factor);
void gather_rows(Tensor& y, const Tensor& x, const Tensor& rows);
void add_rows(Tensor& dx, const Tensor& dy, const Tensor& rows);
void add_sum_of_squares(Tensor& total, const Tensor& x);
bool all_finite(const Tensor& x);
void fill_normal(Tensor& x,
                 std::uint64_t key,
                 double stddev,
                 index_t row0,
                 index_t col0,
                 index_t width);
void fill(Tensor& x, double value);

}  // namespace lockstep::cuda
