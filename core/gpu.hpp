// What is known of a GPU before anything runs on it. Of the CPU: nothing.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/device.hpp"

namespace lockstep {

struct GpuMemory {
  std::size_t free_bytes = 0, all_bytes = 0;
};

// As the system sees it now, with what all processes took.
std::optional<GpuMemory> gpu_memory(Device device);
std::string pci_address(Device device);  // "0000:3b:00.0", as in /sys/bus/pci/devices; empty

// "cuDNN: 9.19.0": what this build finds of NVIDIA's libraries, or why not, and the GPUs. Empty in
// a build without the CUDA back end.
std::vector<std::string> gpu_libraries();

}  // namespace lockstep
