// Threads, and what a step is measured against.
#pragma once

#include "core/model/config.hpp"
#include "parallel/mpi/environment.hpp"

namespace lockstep {

// Sets OpenMP's threads of this rank: `threads`, else OMP_NUM_THREADS, else this rank's share of
// the cores it may run on. Returns the number.
int set_threads(const Environment& environment, int threads);

// Floating-point operations of forward and backward per token: 6 N + 12 L T C, N parameters (Kaplan
// et al. 2020, with the attention products counted in full, as the field reports it).
double flops_per_token(const ModelConfig& model, index_t parameters, index_t sequence_length);

// Fused multiply-adds in registers, all ranks together in GFLOP/s; a few milliseconds. Collective.
double measure_peak_gflops(const Environment& environment, DType dtype, int threads);

// Largest resident size of any rank so far, summed over ranks, in bytes. Collective; the sum on
// every rank.
double peak_resident_bytes(const Environment& environment);

}  // namespace lockstep
