// --device: where this rank computes; and the options that only a GPU has.
#pragma once

#include "core/device.hpp"
#include "core/dtype.hpp"
#include "core/model/config.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

enum class DeviceChoice { automatic, cpu, cuda };

DeviceChoice device_choice_named(const std::string& name);  // "auto", "cpu", "cuda"

// The CPU, or the GPU whose number is this rank's among the ranks of its node, in turn when there
// are more ranks than GPUs; CUDA_VISIBLE_DEVICES says which GPUs there are. automatic: a GPU where
// one is and `precision` can be computed there, but the CPU where reproducible: its bits are those
// of every layout. Throws Error (refused) saying what is missing.
Device choose_device(const Environment& environment,
                     DeviceChoice choice,
                     DType precision,
                     bool reproducible = false);

struct GpuOptions {
  bool cuda_graph = false, gelu_epilogue = false, tf32 = false;
};

// Throws Error (refused) naming the option that this run cannot have: any of them on the CPU,
// --cuda-graph with several ranks, --gelu-epilogue without the tanh GELU, --tf32 but in fp32.
void check_gpu_options(const GpuOptions& options,
                       const ModelConfig& model,
                       DType precision,
                       int num_ranks,
                       Device device);

}  // namespace lockstep
