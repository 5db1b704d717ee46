// The part of CUDA's language that the kernels use.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
// Blocks run one after the other, so what a block shares may be static.
#define __shared__ static
#define __launch_bounds__(...)

namespace emulation {

struct Index {
  unsigned x, y, z;
};
struct ThreadPlace {
  Index thread, block;
  dim3 block_size, grid_size;
};

const ThreadPlace& place();  // of the fiber that runs
void wait_for_block();
// Every lane of the warp brings a value and gets that of lane `source`.
std::uint64_t exchange(std::uint64_t bits, int source);
int lane();
enum class Node { kernel, copy, fill };
// What it does not tell of itself is a kernel.
void enqueue(cudaStream_t stream, std::function<void()> work, Node node = Node::kernel);
void spend(double milliseconds);  // by the clock of events; work that says nothing takes no time
bool any_capture();               // of some stream, under way
bool on_device(const void* address);
// Device memory may be touched meanwhile; work that streams hold back stays undone.
void with_device_memory(const std::function<void()>& work);
void run_grid(dim3 blocks, dim3 threads, const std::function<void()>& kernel);

template <typename T>
T shuffle(T value, int source) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof value);
  bits = exchange(bits, source);
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace emulation

// threadIdx.x and its like: numbers of the fiber that reads them.
namespace emulation {
template <auto part, auto axis>
struct Coordinate {
  operator unsigned() const { return (place().*part).*axis; }
};
template <auto part, typename Place>
struct Coordinates {
  Coordinate<part, &Place::x> x;
  Coordinate<part, &Place::y> y;
  Coordinate<part, &Place::z> z;
};
}  // namespace emulation
inline constexpr emulation::Coordinates<&emulation::ThreadPlace::thread, emulation::Index>
    threadIdx;
inline constexpr emulation::Coordinates<&emulation::ThreadPlace::block, emulation::Index> blockIdx;
inline constexpr emulation::Coordinates<&emulation::ThreadPlace::block_size, dim3> blockDim;
inline constexpr emulation::Coordinates<&emulation::ThreadPlace::grid_size, dim3> gridDim;

inline void __syncthreads() { emulation::wait_for_block(); }
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return emulation::shuffle(value, emulation::lane() ^ mask);
}
template <typename T>
T __shfl_sync(unsigned, T value, int source) {
  return emulation::shuffle(value, source);
}
inline void __syncwarp() { emulation::shuffle(0, emulation::lane()); }
inline int atomicAdd(int* to, int value) {
  const int before = *to;
  *to += value;
  return before;
}
inline float normcdff(float x) { return 0.5f * erfcf(x * -0.70710678118654752440f); }

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

template <typename... P, typename... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config,
                               void (*kernel)(P...),
                               A&&... arguments) {
  const dim3 blocks = config->gridDim, threads = config->blockDim;
  const bool lawful = blocks.y <= 65535 && blocks.z <= 65535 && threads.x >= 1 && threads.x <= 1024;
  if (!lawful) return cudaErrorInvalidValue;
  emulation::enqueue(config->stream, [=] {
    emulation::run_grid(blocks, threads, [&] { kernel(static_cast<P>(arguments)...); });
  });
  return cudaSuccess;
}
