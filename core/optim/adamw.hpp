// AdamW on one rank's span of a flat parameter buffer: holds m and v for that span, and knows which
// ranges of the buffer decay (matrices) and which do not (biases, norms). Padding between ranges is
// never touched.
#pragma once

#include <vector>

#include "core/group.hpp"
#include "core/tensor.hpp"

namespace lockstep {

struct AdamWConfig {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.01;
};

// One parameter's range of the flat buffer.
struct OptimizerView {
  index_t first = 0, count = 0;
  bool decay = false;
};

class AdamW {
 public:
  // views: of the whole buffer, ascending, not overlapping; those outside own_span are left to
  // other ranks.
  AdamW(Span own_span,
        std::vector<OptimizerView> views,
        DType dtype,
        Device device,
        AdamWConfig config);

  // values and gradients are the whole flat buffers; only own_span of values changes. t counts from
  // 1; scale multiplies the gradient (1 / count_0 times the clipping factor).
  void step(Tensor& values, const Tensor& gradients, index_t t, double rate, double scale);

  // Of own_span, element 0 being the span's first. Checkpoints read and write them.
  Tensor& m() { return m_; }
  Tensor& v() { return v_; }
  const Tensor& m() const { return m_; }
  const Tensor& v() const { return v_; }
  Span span() const { return span_; }

 private:
  Span span_;
  std::vector<OptimizerView> views_;  // clipped to span_
  Tensor m_, v_;
  AdamWConfig config_;
};

}  // namespace lockstep
