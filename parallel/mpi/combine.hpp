// into = into (+|max|min) x, elementwise; flat, same dtype and count: f32, f64, i32, i64. NaN wins
// a maximum or minimum.
#pragma once

#include "core/group.hpp"

namespace lockstep::mpi {

void combine(Tensor& into, const Tensor& x, Reduce reduce);

}  // namespace lockstep::mpi
