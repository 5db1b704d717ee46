# The CUDA tool chain, when asked for: lockstep_cuda_toolkit is what the CUDA sources include and link. EMULATED compiles the
# same sources with the C++ compiler against tests/emulation. core/ and tests/ are the only other readers of LOCKSTEP_CUDA.
if(LOCKSTEP_CUDA)
  add_library(lockstep_cuda_toolkit INTERFACE)
endif()
if(LOCKSTEP_CUDA STREQUAL EMULATED)
  add_subdirectory(tests/emulation)
  target_link_libraries(lockstep_cuda_toolkit INTERFACE lockstep_emulation)
elseif(LOCKSTEP_CUDA)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    # 90a holds Hopper's own instructions and runs there alone; 90-virtual is what newer GPUs compile from.
    set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real;90-virtual")
  endif()
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND EXISTS /usr/local/cuda/bin/nvcc)
    set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)
  endif()
  enable_language(CUDA)
  # CMake 3.25.1 does not know that nvcc 12 and later have C++20.
  if(NOT "cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_COMPILE_FEATURES cuda_std_20)
    list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  find_package(CUDAToolkit REQUIRED)
  target_link_libraries(lockstep_cuda_toolkit INTERFACE CUDA::cudart CUDA::cublasLt)
  # Kernels share constexpr functions with the CPU code (core/random.hpp). A kernel that spills registers does not build.
  target_compile_options(lockstep_cuda_toolkit INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;\
-Werror=all-warnings;-Xcompiler=-Wall,-Wextra,-Werror;-Xptxas=--warn-on-spills,--warning-as-error>")
endif()
