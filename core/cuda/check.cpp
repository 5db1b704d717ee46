#include "core/cuda/check.hpp"

#include "core/error.hpp"

namespace lockstep::cuda {

void check(cudaError_t code, const char* file, int line) {
  if (code == cudaSuccess) return;
  fail("CUDA: ", cudaGetErrorString(code), " (", static_cast<int>(code), ") at ", file, ":", line);
}

void check(cublasStatus_t code, const char* file, int line) {
  if (code == CUBLAS_STATUS_SUCCESS) return;
  fail("cuBLASLt: status ", static_cast<int>(code), " at ", file, ":", line);
}

}  // namespace lockstep::cuda
