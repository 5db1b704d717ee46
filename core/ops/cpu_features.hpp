// Which kernels the CPU ops use: "scalar", "avx2" or "avx512"; the environment variable
// LOCKSTEP_CPU asks for less than the CPU has. Throws Error when it asks for more, so call it once
// at start.
#pragma once

#include <string>

namespace lockstep {

std::string cpu_features_in_use();

// This CPU multiplies bf16 (AVX512_BF16 or AMX_BF16) and LOCKSTEP_CPU does not ask for less. The
// ops compute in bf16 elsewhere too, with the same roundings, but slower than in fp32.
bool bf16_products();

}  // namespace lockstep
