// Tests of the GPU run on cuda:0, or are skipped with the reason why there is none.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "core/tensor.hpp"
#include "tests/support/tolerance.hpp"

namespace lockstep::test {

inline constexpr Device gpu{Device::Kind::cuda, 0};

class CudaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string reason;
    if (num_gpus(&reason) == 0) GTEST_SKIP() << reason;
  }
};

// The numbers of an fp64 tensor in `dtype` on the GPU.
inline Tensor on_gpu(const Tensor& x, DType dtype = DType::f32) {
  Tensor narrow = Tensor::empty(x.shape(), dtype);
  for (index_t i = 0; i < x.count(); ++i) set_value(narrow, i, value_at(x, i));
  return narrow.to(gpu);
}

inline Tensor on_cpu(const Tensor& x) { return x.to(Device{}); }

// fp32 numbers in fp64: what both devices start from.
inline Tensor numbers(Shape shape, std::uint64_t seed) {
  const Tensor single = random_tensor(shape, DType::f32, seed);
  Tensor wide = Tensor::empty(shape, DType::f64);
  for (index_t i = 0; i < wide.count(); ++i) set_value(wide, i, value_at(single, i));
  return wide;
}

// Columns [3, 3 + C) of a wider matrix: rows that start anywhere.
inline Tensor strided(const Tensor& x) {
  Tensor wide = Tensor::zeros({x.rows(), x.columns() + 7}, x.dtype(), x.device());
  wide.column_range(3, x.columns()).copy_from(x);
  return wide.column_range(3, x.columns());
}

}  // namespace lockstep::test
