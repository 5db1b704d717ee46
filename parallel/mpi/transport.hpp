// How tensors of a GPU travel between ranks; those of the CPU always go by MPI.
#pragma once

namespace lockstep {

enum class Transport {
  staged,  // by way of page-locked memory of the CPU
  direct,  // MPI reads and writes the GPU's memory itself
  nccl     // sums and gathers by NCCL, all else staged
};

// What the MPI library answers when asked whether it takes the memory of GPUs; false where it
// cannot be asked. A wrong yes ends in a crash or in wrong bytes: test before use.
bool mpi_takes_gpu_memory();

}  // namespace lockstep
