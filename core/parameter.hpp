// What a module holds of a parameter: handles into its rank's flat buffers.
#pragma once

#include "core/tensor.hpp"

namespace lockstep {

// value and gradient have the local (sharded, padded) shape. A parameter that a model lacks (a
// bias) is undefined.
struct Parameter {
  Tensor value;
  Tensor gradient;  // added to (+=) by backward_weight
  // The value in bf16 where matrix products read that, else undefined. Follows the value when the
  // store is told that values changed.
  Tensor rounded = {};

  bool defined() const { return value.defined(); }
  const Tensor& operand() const { return rounded.defined() ? rounded : value; }
};

}  // namespace lockstep
