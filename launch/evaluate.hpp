// `lockstep eval`: the loss of a checkpoint over a whole split, each token once.
#pragma once

#include "launch/options.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

int run_eval(const Environment& environment,
             const EvalOptions& options);  // collective over the world

}  // namespace lockstep
