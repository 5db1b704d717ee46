// `lockstep generate`: text from a causal model, token by token.
#pragma once

#include "launch/options.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

int run_generate(const Environment& environment,
                 const GenerateOptions& options);  // collective over the world

}  // namespace lockstep
