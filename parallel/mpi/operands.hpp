// What collectives ask of the tensors they are given. Both throw Error with `what`, the name the
// caller gave the collective.
#pragma once

#include "core/tensor.hpp"

namespace lockstep::mpi {

// x as one row of elements; its rows must be adjacent in memory.
Tensor flatten(const Tensor& x, const char* what);
// x must be of a type that ranks can add up: not u8, not bf16.
void require_sum(const Tensor& x, const char* what);

}  // namespace lockstep::mpi
