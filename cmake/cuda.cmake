# The CUDA tool chain, when asked for. core/ and tests/ are the only other readers of LOCKSTEP_CUDA.
if(LOCKSTEP_CUDA)
  find_package(CUDAToolkit REQUIRED)
endif()
