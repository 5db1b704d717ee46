// Dense peaks of the data sheets: A100 312 TFLOP/s bf16 and 19.5 fp32 on 108 multiprocessors, H100
// SXM and H200 989.4 and 66.9 on 132.
#include "core/ops/cuda/peak.hpp"

#include "core/cuda/check.hpp"
#include "core/cuda/runtime.hpp"

namespace lockstep::cuda {

double peak_gflops(Device device, DType dtype, int) {
  Runtime::of(device);
  int major = 0, multiprocessors = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device.index));
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device.index));
  const bool hopper = major >= 9;
  const double of_one = dtype == DType::f32 ? (hopper ? 66.9e3 / 132 : 19.5e3 / 108)
                                            : (hopper ? 989.4e3 / 132 : 312e3 / 108);
  return of_one * multiprocessors;
}

}  // namespace lockstep::cuda
