// `lockstep verify`: the user's configuration on its layout and on one rank, side by side.
#pragma once

#include "launch/options.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

// Returns 0 when every difference is within the tolerance of the precision, else 1. Collective.
int run_verify(const Environment& environment, const VerifyOptions& options);

}  // namespace lockstep
