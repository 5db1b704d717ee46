// What the tests of modules share: parameters with random values, a batch, a context with dropout
// on.
#pragma once

#include <vector>

#include <gtest/gtest.h>

#include "core/nn/context.hpp"
#include "tests/support/gradcheck.hpp"

namespace lockstep::test {

inline Parameter random_parameter(Shape shape, std::uint64_t seed) {
  return {random_tensor(shape, DType::f64, seed), Tensor::zeros(shape, DType::f64)};
}

// B samples of T positions; lengths empty: no padding.
inline Context make_context(index_t B, index_t T, const std::vector<std::int32_t>& lengths = {}) {
  Context context;
  context.step = 3;
  context.seed = 11;
  context.site.layer = 2;
  context.batch = {B, T, {}, Tensor::empty({B}, DType::i64), {}, {}};
  for (index_t b = 0; b < B; ++b) context.batch.sample_ids.data<std::int64_t>()[b] = 100 + 7 * b;
  if (!lengths.empty()) context.batch.lengths = Tensor::from(lengths, {B});
  return context;
}

inline void expect_small(const std::vector<GradientError>& errors) {
  for (const GradientError& error : errors) EXPECT_LE(error.error, gradient_bound) << error.name;
}

inline void expect_equal(const Tensor& a, const Tensor& b, const std::string& name = "") {
  ASSERT_EQ(a.count(), b.count()) << name;
  for (index_t i = 0; i < a.count(); ++i) {
    ASSERT_EQ(value_at(a, i), value_at(b, i)) << name << " element " << i;
  }
}

}  // namespace lockstep::test
