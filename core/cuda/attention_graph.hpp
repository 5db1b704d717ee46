// Attention as a graph of cuDNN's operations, in the composition that its engines recognise:
//   forward   S = scale q k^T, masked with -inf;  lse = max + log sum exp(S - max)
//             y = (exp(S - max) / sum * mask * factor) v
//   backward  P = exp(S - lse);  dv = (P * mask * factor)^T dy;  dots = sum(dy * y) / factor
//             dS = (dy v^T * mask - dots) * P * factor * scale;  dq = dS k;  dk = dS^T q
// with the dropout's mask of ones and zeros and factor = 1 / (1 - dropout). The order of masking
// and subtracting is cuDNN's. Products read bf16, all else is fp32.
#pragma once

#include <deque>

#include "core/cuda/attention_plans.hpp"
#include "core/cuda/cudnn.hpp"

namespace lockstep::cuda {

// The tensors that a caller binds to memory, by their unique ids.
enum class Port : std::int64_t {
  q = 1,
  k,
  v,
  y,
  lse,
  query_lengths,
  key_lengths,
  mask,
  dy,
  dq,
  dk,
  dv,
  dq_sum,  // fp32 (B, NH, T, HS), cleared and filled by the engine
  dots,    // fp32 (B, NH, T)
  // fp32 by value, in host memory
  scale,
  minus_infinity,
  factor,
  inverse_factor,  // 1 - dropout
};

class AttentionGraph {
 public:
  // Throws Error when the library refuses an operation.
  explicit AttentionGraph(const AttentionShape& shape);

  std::vector<const CudnnDescriptor*> operations() const;

 private:
  friend class AttentionGraphBuilder;

  std::deque<CudnnDescriptor> descriptors_;  // in one place for good: operations point to tensors
  std::vector<const CudnnDescriptor*> operations_;
};

// The engines that take a graph, best first; maybe none.
struct AttentionEngines {
  CudnnDescriptor graph;
  std::vector<CudnnDescriptor> configurations;
};
AttentionEngines engines_of(const AttentionGraph& graph, cudnnHandle_t handle);
// Of a GPU that is described, as cuDNN's device properties in JSON, and need not be there.
AttentionEngines engines_of(const AttentionGraph& graph, const std::string& device);

}  // namespace lockstep::cuda
