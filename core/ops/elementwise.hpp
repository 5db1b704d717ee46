// Small elementwise and row-wise maths. N rows, C columns; x may have strided rows, outputs are
// contiguous unless said.
#pragma once

#include "core/tensor.hpp"

namespace lockstep {

void add(Tensor& y, const Tensor& a, const Tensor& b);  // y = a + b, same shapes; y may be a or b
void add_bias(Tensor& y, const Tensor& bias);           // y (N, C) += bias (C) in each row
// dbias (C) += sum over rows of dy (N, C), dy may be bf16. On the CPU summed in double.
void add_column_sums(Tensor& dbias, const Tensor& dy);
void tanh_forward(Tensor& y, const Tensor& x);                      // y = tanh(x)
void tanh_backward(Tensor& dx, const Tensor& dy, const Tensor& y);  // dx = dy (1 - y^2)
void scale(Tensor& x, double factor);                               // x *= factor
// Rows picked by index: y (n, C) = x[rows[i]].   rows (n) i32 in [0, N).
void gather_rows(Tensor& y, const Tensor& x, const Tensor& rows);
// dx[rows[i]] += dy[i]; rows may repeat (added in order of i).
void add_rows(Tensor& dx, const Tensor& dy, const Tensor& rows);
// Sum of squares in double over contiguous blocks of 4,096 elements, blocks added in order. x flat.
double sum_of_squares(const Tensor& x);
// total (1) f64, on x's device, += that sum: the host does not wait for it.
void add_sum_of_squares(Tensor& total, const Tensor& x);
bool all_finite(const Tensor& x);
// x = N(0, stddev^2) at global flat indices; see core/random.hpp. x (rows, columns) is the
// rectangle [row0, row0 + rows) x [col0, col0 + columns) of a canonical matrix with `width`
// columns: element (r, c) has index r width + c. Pairs of indices (2k, 2k+1) share one Box-Muller
// draw computed in double: the same bits for every cut.
void fill_normal(Tensor& x,
                 std::uint64_t key,
                 double stddev,
                 index_t row0,
                 index_t col0,
                 index_t width);
void fill(Tensor& x, double value);

}  // namespace lockstep
