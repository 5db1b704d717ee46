// --transport: how tensors of a GPU travel between ranks.
#pragma once

#include <cstdint>
#include <string>

#include "core/device.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

enum class TransportChoice { automatic, staged, cuda_aware, nccl };

TransportChoice transport_choice_named(const std::string& name);  // as the words of --transport

// The node and the GPU in it, as a number: the same on each rank that computes there.
std::int64_t gpu_place(Device device);

// Collective, before groups are made; device: this rank's. automatic takes the first to be had of
// NCCL (every rank has a GPU to itself), MPI that takes GPU memory (it says so, and test messages
// arrive right) and staging; reproducible: not NCCL, whose order of sums is its own. Throws Error
// (refused) when what was asked for is not to be had, or has no effect.
void choose_transport(const Environment& environment,
                      TransportChoice choice,
                      Device device,
                      bool reproducible = false);

}  // namespace lockstep
