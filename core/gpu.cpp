#include "core/gpu.hpp"

#include "core/cuda/gpu.hpp"
#include "core/dispatch.hpp"

namespace lockstep {
namespace cpu {
namespace {

std::optional<GpuMemory> gpu_memory(Device) { return std::nullopt; }
std::string pci_address(Device) { return ""; }
std::vector<std::string> gpu_libraries(Device) { return {}; }

}  // namespace
}  // namespace cpu

std::optional<GpuMemory> gpu_memory(Device device) {
  return LOCKSTEP_DISPATCH(device, gpu_memory(device));
}

std::string pci_address(Device device) { return LOCKSTEP_DISPATCH(device, pci_address(device)); }

std::vector<std::string> gpu_libraries() {
  const Device any{built_with_cuda ? Device::Kind::cuda : Device::Kind::cpu};
  return LOCKSTEP_DISPATCH(any, gpu_libraries(any));
}

}  // namespace lockstep
