#include "core/cuda/gpu.hpp"

#include <algorithm>
#include <cctype>

#include "core/cuda/check.hpp"
#include "core/cuda/memory.hpp"
#include "core/cuda/nccl.hpp"
#include "core/cuda/runtime.hpp"
#include "core/error.hpp"

namespace lockstep::cuda {

std::optional<GpuMemory> gpu_memory(Device device) {
  (void)Runtime::of(device);  // its context, stream and workspace count as taken
  GpuMemory memory;
  check(cudaMemGetInfo(&memory.free_bytes, &memory.all_bytes));
  return memory;
}

std::string pci_address(Device device) {
  char address[32] = "";
  check(cudaDeviceGetPCIBusId(address, sizeof address, device.index));
  std::string text = address;  // CUDA writes digits above 9 as capitals
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// Asks nothing of a driver but whether it is there.
std::vector<std::string> gpu_libraries(Device any) {
  int runtime = 0;
  check(cudaRuntimeGetVersion(&runtime));
  const auto cublas = cublasLtGetVersion();
  std::string reason;
  const int gpus = num_gpus(any, &reason);
  return {build_string("CUDA runtime: ", runtime / 1000, ".", runtime % 1000 / 10),
          build_string("cuBLASLt: ", cublas / 10000, ".", cublas / 100 % 100, ".", cublas % 100),
          "cuDNN: " + cudnn_found(), "NCCL: " + nccl_found(),
          build_string("GPUs: ", gpus, gpus == 0 ? ": " : "", gpus == 0 ? reason : "")};
}

}  // namespace lockstep::cuda
