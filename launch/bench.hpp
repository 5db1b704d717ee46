// `lockstep bench`: medians over whole training steps on random tokens.
#pragma once

#include "launch/options.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

int run_bench(const Environment& environment,
              const BenchOptions& options);  // collective over the world

}  // namespace lockstep
