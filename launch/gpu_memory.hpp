// Whether the GPUs have the memory a run will need, before its first tensor is made.
#pragma once

#include <vector>

#include "core/gpu.hpp"
#include "launch/memory.hpp"

namespace lockstep {

// A rank's part of what a GPU has to hold.
struct GpuNeed {
  MemoryParts parts;
  int rank = 0;
};

// One line: the GPU's bytes, the largest rank's by category, and the options that would help; empty
// when all of it fits. needs: of all ranks on that GPU.
std::string why_too_large(const TrainerConfig& config,
                          const MemoryFacts& facts,
                          const GpuMemory& memory,
                          const std::vector<GpuNeed>& needs);

// Collective. Throws Error (refused) on all ranks when some GPU will not do. Nothing on CPUs.
void require_gpu_memory(const Environment& environment,
                        const TrainerConfig& config,
                        const MemoryFacts& facts);

}  // namespace lockstep
