// The same training steps on the layout of a configuration and on one rank of the CPU: what
// `lockstep verify` prints and the tests of layouts hold against a bound.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "launch/trainer.hpp"

namespace lockstep {

// The one place of bounds between layouts: relative differences that sums in another order explain.
// In fp64 a greater one is a wrong sum; in fp32 rounding is fed back into the weights and grows
// from step to step, about as the square of their number from the tenth on. In bf16 a sum's last
// bits may round an operand to its other neighbour, 2^-8 away; where attention rounds too (cuDNN's)
// and the one rank's does not, gradients differ by twice as much. In a fixed order there is none.
struct LayoutTolerance {
  double first_step = 0;   // of the loss in step 1
  double later_steps = 0;  // up to step 10
  double gradient = 0;     // of a parameter's gradient in step 1
  bool grows = false;

  double loss(std::int64_t step) const;
  double norm(std::int64_t step) const { return 10 * loss(step); }  // it has no exact sum
};
LayoutTolerance layout_tolerance(DType precision,
                                 bool fixed_order,
                                 AttentionKernels attention = AttentionKernels::plain);

// Which part of a step's global batch: contiguous samples, and of each the positions of a cut.
struct BatchPart {
  int dp_rank = 0, dp_degree = 1;
  SequenceCut cut;
};
using MakeBatch = std::function<StepBatch(std::int64_t step, const BatchPart& part)>;

struct StepDifference {
  double loss = 0, one_rank_loss = 0;
  double gradient_norm = 0, one_rank_gradient_norm = 0;
};
struct ParameterDifference {
  std::string name;
  double relative = 0;  // of step 1's gradients: ||a - b|| / ||b||, 2-norms over all elements
};
struct LayoutComparison {
  std::vector<StepDifference> steps;
  std::vector<ParameterDifference> gradients;  // in table order

  double worst_loss() const;  // relative; so are the following
  double worst_norm() const;
  double worst_gradient() const;
};

// The gradient of a key's bias is 0 but for rounding (softmax does not see it): it is measured
// against the norm of all gradients, as are all whose own norm is below 1e-3 of that.
// Collective; rank 0 does the work of the one rank, on the CPU, and holds the whole model.
LayoutComparison compare_with_one_rank(const Environment& environment,
                                       const TrainerConfig& config,
                                       const MakeBatch& make_batch,
                                       std::int64_t steps,
                                       const std::function<double(std::int64_t)>& learning_rate);

}  // namespace lockstep
