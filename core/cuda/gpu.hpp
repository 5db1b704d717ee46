// What core/gpu.hpp asks. No CUDA header: every build includes this, the CUDA builds define it.
#pragma once

#include "core/gpu.hpp"

namespace lockstep::cuda {

std::optional<GpuMemory> gpu_memory(Device device);
std::string pci_address(Device device);
std::vector<std::string> gpu_libraries(Device any);

}  // namespace lockstep::cuda
