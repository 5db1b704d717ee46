// `lockstep pretrain`: the training loop from corpus to finished checkpoint.
#pragma once

#include "launch/options.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

// Collective over the world. Returns an exit code of core/error.hpp: done, or saved when a signal
// asked.
int run_pretrain(const Environment& environment, const RunOptions& options);

}  // namespace lockstep
