// What a CUDA or cuBLAS call returned, as an Error (failed) with the library's own words. After a
// kernel's launch: check(cudaGetLastError()).
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

namespace lockstep::cuda {

// The place is the caller's.
void check(cudaError_t code, const char* file = __builtin_FILE(), int line = __builtin_LINE());
void check(cublasStatus_t code, const char* file = __builtin_FILE(), int line = __builtin_LINE());

}  // namespace lockstep::cuda
