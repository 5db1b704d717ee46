// The one source of tolerances in tests.
#pragma once

#include <cmath>

#include "core/tensor.hpp"

namespace lockstep::test {

inline double epsilon(DType dtype) {
  return dtype == DType::f64 ? 2.220446049250313e-16 : 1.1920929e-07;
}

// Bound on the relative error of a sum of `length` terms in any order: rounding errors of a sum add
// like a random walk, so 8 sqrt(length) + 8 units in the last place leave room for the few
// operations around it.
inline double tolerance(DType dtype, index_t length) {
  return epsilon(dtype) * (8.0 * std::sqrt(static_cast<double>(length)) + 8.0);
}

// Bound on the relative error of what was rounded to bf16, 8 bits, so many times on its way.
inline double bf16_tolerance(int roundings) { return roundings / 256.0; }

// Bound against PyTorch's double results through whole small models and ten optimizer steps.
double oracle_tolerance(DType precision);
// The same of losses and gradient norms alone.
double oracle_loss_tolerance(DType precision);

// ||a - b|| / ||b|| in double over all elements; strided rows are fine.
double relative_error(const Tensor& a, const Tensor& b);
// Element i in row-major order as a double.
double value_at(const Tensor& x, index_t i);
void set_value(Tensor& x, index_t i, double value);
// Deterministic numbers in [-1, 1).
Tensor random_tensor(Shape shape, DType dtype, std::uint64_t seed);

}  // namespace lockstep::test
