#include "core/cuda/gpu.hpp"

#include <algorithm>
#include <cctype>

#include "core/cuda/check.hpp"
#include "core/cuda/runtime.hpp"

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

}  // namespace lockstep::cuda
