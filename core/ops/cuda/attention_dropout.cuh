// Which probabilities of attention are dropped, as core/ops/attention.hpp states it: one draw for
// four keys of a query.
#pragma once

#include "core/ops/attention.hpp"
#include "core/ops/cuda/kernel.cuh"

namespace lockstep::cuda {

struct ProbabilityDropout {
  const std::int64_t* sample_ids;  // (B), read when something is dropped
  index_t first_head;
  PhiloxKey key;
  std::uint64_t threshold;  // keep_threshold: from 2^32 on nothing is dropped

  explicit ProbabilityDropout(const AttentionSpec& spec)
      : first_head(spec.first_head),
        key(spec.dropout_key),
        threshold(keep_threshold(spec.dropout)) {
    sample_ids = drops() ? spec.sample_ids.data<std::int64_t>() : nullptr;
  }

  __host__ __device__ bool drops() const { return threshold >> 32 == 0; }
  // For keys [4 quad, 4 quad + 4) of query i.
  __device__ PhiloxCounter words(index_t sample, index_t head, index_t i, index_t quad) const {
    const auto id = static_cast<std::uint64_t>(sample_ids[sample]);
    const auto global_head = static_cast<std::uint32_t>(first_head + head);
    return philox({static_cast<std::uint32_t>(quad), static_cast<std::uint32_t>(i),
                   static_cast<std::uint32_t>(id),
                   (static_cast<std::uint32_t>(id >> 32) & 0xffffu) | (global_head << 16)},
                  key);
  }
  __device__ bool keeps(std::uint32_t word) const {
    return word < static_cast<std::uint32_t>(threshold);
  }
};

}  // namespace lockstep::cuda
