// Threads, and what a step is measured against.
#pragma once

#include "launch/trainer.hpp"

namespace lockstep {

// Sets OpenMP's threads of this rank: `threads`, else OMP_NUM_THREADS, else this rank's share of
// the cores it may run on. Returns the number.
int set_threads(const Environment& environment, int threads);

// Floating-point operations of forward and backward per token: 6 N + 12 L T C, N parameters (Kaplan
// et al. 2020, with the attention products counted in full, as the field reports it).
double flops_per_token(const ModelConfig& model, index_t parameters, index_t sequence_length);

// Of one pass of a microbatch of `tokens` (of this rank's part of the sequences) through a virtual
// stage, on one tp rank: products of matrices only. What is recomputed is not counted again.
double action_flops(const TrainerConfig& config,
                    const StageMap& stages,
                    const Action& action,
                    index_t tokens);

// All ranks together in GFLOP/s. Of a CPU: fused multiply-adds in registers, measured in a few
// milliseconds; of a GPU: the maker's figure, shared by the ranks that share it. Collective.
double measure_peak_gflops(const Environment& environment, Device device, DType dtype, int threads);

// The most memory of any rank so far, summed over ranks, in bytes: resident on the CPU, of tensors
// on a GPU. Collective; the sum on every rank.
double peak_memory_bytes(const Environment& environment, Device device);

}  // namespace lockstep
