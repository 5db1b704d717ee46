// Central differences in double: the gradient of sum(w * y) for fixed random w, element by element.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>

#include <gtest/gtest.h>

#include "tests/support/tolerance.hpp"

namespace lockstep::test {

// sum over elements of a * b.
inline double inner(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (index_t i = 0; i < a.count(); ++i) sum += value_at(a, i) * value_at(b, i);
  return sum;
}

// The step cbrt(epsilon) balances rounding against truncation and leaves an error of epsilon^(2/3)
// times the size of the sum.
inline double gradient_tolerance(index_t length) {
  return tolerance(DType::f64, length) / std::cbrt(epsilon(DType::f64));
}

// dx is the gradient of loss() by x; loss reads x anew each time.
inline void expect_gradient(Tensor& x, const Tensor& dx, const std::function<double()>& loss) {
  const double h = std::cbrt(epsilon(DType::f64));
  Tensor numeric = Tensor::empty(dx.shape(), DType::f64);
  for (index_t i = 0; i < x.count(); ++i) {
    const double value = value_at(x, i);
    set_value(x, i, value + h);
    const double above = loss();
    set_value(x, i, value - h);
    const double below = loss();
    set_value(x, i, value);
    set_value(numeric, i, (above - below) / (2 * h));
  }
  EXPECT_LE(relative_error(dx, numeric), gradient_tolerance(x.count()));
}

// The same numbers in the other type.
inline Tensor converted(const Tensor& x, DType dtype) {
  Tensor y = Tensor::empty(x.shape(), dtype);
  for (index_t i = 0; i < x.count(); ++i) set_value(y, i, value_at(x, i));
  return y;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const Tensor x = a.clone(), y = b.clone();
  return std::memcmp(x.raw(), y.raw(), x.bytes()) == 0;
}

}  // namespace lockstep::test
