#pragma once

#include "core/ops/peak.hpp"

namespace lockstep::cpu {

double peak_gflops(Device device, DType dtype, int threads);

}  // namespace lockstep::cpu
