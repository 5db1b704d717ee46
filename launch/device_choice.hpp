// --device: where this rank computes.
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

// --cuda-graph, where it is asked for: throws Error (refused) unless this run is one rank on a GPU.
void check_graphs(const Environment& environment, Device device);

// --gelu-epilogue, where it is asked for: throws Error (refused) unless the model has the tanh GELU
// and this run computes on a GPU.
void check_gelu_epilogue(const ModelConfig& model, Device device);

}  // namespace lockstep
