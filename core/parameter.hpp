// What a module holds of a parameter: handles into its rank's flat buffers.
#pragma once

#include "core/tensor.hpp"

namespace lockstep {

// value and gradient have the local (sharded, padded) shape. A parameter that a model lacks (a
// bias) is undefined.
struct Parameter {
  Tensor value;
  Tensor gradient;  // added to (+=) by backward_weight

  bool defined() const { return value.defined(); }
};

}  // namespace lockstep
