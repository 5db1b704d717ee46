#include "core/ops/peak.hpp"

#include "core/dispatch.hpp"
#include "core/ops/cpu/peak.hpp"
#include "core/ops/cuda/peak.hpp"

namespace lockstep {

double peak_gflops(Device device, DType dtype, int threads) {
  return LOCKSTEP_DISPATCH(device, peak_gflops(device, dtype, threads));
}

}  // namespace lockstep
