// Which elements a dropout keeps (core/ops/dropout.hpp), as kernels ask: four columns at a time.
#pragma once

#include "core/ops/cuda/kernel.cuh"
#include "core/ops/dropout.hpp"

namespace lockstep::cuda {

struct DropRule {
  const std::int64_t* sample_ids;  // read when something is dropped
  index_t T, first_row, first_position;
  PhiloxKey key;
  std::uint64_t threshold;  // from 2^32 on nothing is dropped
  float factor;             // 1 / (1 - p)

  explicit DropRule(const DropoutSpec& spec)
      : sample_ids(nullptr),
        T(spec.T),
        first_row(spec.first_row),
        first_position(spec.first_position),
        key(spec.key),
        threshold(keep_threshold(spec.probability)),
        factor(static_cast<float>(1.0 / (1.0 - spec.probability))) {
    if (!none()) sample_ids = spec.sample_ids.data<std::int64_t>();
  }

  __host__ __device__ bool none() const { return threshold >> 32 != 0; }

  // The words of columns 4 group to 4 group + 3.
  __device__ PhiloxCounter words(index_t row, index_t group) const {
    const index_t global = first_row + row;
    const auto sample = static_cast<std::uint64_t>(sample_ids[global / T]);
    const index_t position = first_position + global % T;
    return philox({static_cast<std::uint32_t>(group), static_cast<std::uint32_t>(position),
                   static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(sample >> 32)},
                  key);
  }

  __device__ float apply(float x, std::uint32_t word) const {
    return word < static_cast<std::uint32_t>(threshold) ? x * factor : 0.0f;
  }

  // x[w] of column + w becomes what is left of it; the columns lie in one group.
  template <int W>
  __device__ void apply(float (&x)[W], index_t row, index_t column) const {
    static_assert(W == 1 || W == 4);
    if (none()) return;
    const PhiloxCounter drawn = words(row, column / 4);
    for (int w = 0; w < W; ++w) x[w] = apply(x[w], drawn[static_cast<unsigned>((column + w) % 4)]);
  }
};

}  // namespace lockstep::cuda
