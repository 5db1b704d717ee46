// Which kernels the CPU ops use: "scalar", "avx2" or "avx512"; the environment variable
// LOCKSTEP_CPU asks for less than the CPU has. Throws Error when it asks for more, so call it once
// at start.
#pragma once

#include <string>

namespace lockstep {

std::string cpu_features_in_use();

}  // namespace lockstep
