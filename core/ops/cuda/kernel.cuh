// What the kernels share: launches, element types, 16-byte packs, sums over a warp and a block.
// Kernels are plain functions launched by cudaLaunchKernelEx, so that tests/emulation can run the
// same sources on a CPU.
#pragma once

#include <bit>
#include <cassert>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "core/cuda/check.hpp"
#include "core/cuda/runtime.hpp"
#include "core/tensor.hpp"

namespace lockstep::cuda {

constexpr int warp_size = 32;
constexpr unsigned all_lanes = 0xffffffffu;

// Calls f(T{}) with the type kernels know the dtype by. Sums are always kept in float or wider.
template <typename F>
void with_type(DType dtype, F&& f) {
  assert(dtype == DType::f32);
  (void)dtype;
  f(float{});
}

// blocks x threads; no launch for no blocks. The kernel's parameters convert as in a call.
template <typename... P, typename... A>
void launch(cudaStream_t stream, dim3 blocks, int threads, void (*kernel)(P...), A... arguments) {
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...));
}

// Blocks of `per_block` that cover n, at most 2^31 - 1 along x.
inline dim3 blocks_for(index_t n, index_t per_block) {
  const index_t blocks = (n + per_block - 1) / per_block;
  assert(blocks >= 0 && blocks < (index_t{1} << 31));
  return dim3(static_cast<unsigned>(blocks));
}

__device__ inline index_t global_thread() {
  return static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// Rows of a tensor as a kernel sees them.
template <typename T>
struct RowsOf {
  T* data;
  index_t stride;

  __host__ __device__ T* operator[](index_t row) const { return data + row * stride; }
};
template <typename T>
RowsOf<T> rows_of(Tensor& x) {
  return {x.data<T>(), x.row_stride()};
}
template <typename T>
RowsOf<const T> rows_of(const Tensor& x) {
  return {x.data<T>(), x.row_stride()};
}

// W neighbouring elements moved by one access: 16 bytes where rows allow it, else one element.
template <typename T, int W>
struct alignas(W * sizeof(T)) Pack {
  T at[W];
};
template <typename T, int W>
__device__ Pack<T, W> load(const T* from) {
  return *reinterpret_cast<const Pack<T, W>*>(from);
}
template <typename T, int W>
__device__ void store(T* to, const Pack<T, W>& pack) {
  *reinterpret_cast<Pack<T, W>*>(to) = pack;
}

template <typename T>
constexpr int widest = 16 / static_cast<int>(sizeof(T));

// Whether every row of x starts at a multiple of 16 bytes and is a multiple of 16 bytes long.
inline bool packs(const Tensor& x) {
  if (!x.defined()) return true;
  const auto size = static_cast<index_t>(size_of(x.dtype()));
  return reinterpret_cast<std::uintptr_t>(x.raw()) % 16 == 0 && x.columns() * size % 16 == 0 &&
         (x.rows() <= 1 || x.row_stride() * size % 16 == 0);
}

template <int W>
struct Width {
  static constexpr int value = W;
};
// Calls f(Width<16 bytes>) when all tensors allow 16-byte accesses, else f(Width<1>).
template <typename T, typename F, typename... X>
void with_width(F&& f, const X&... tensors) {
  if ((packs(tensors) && ...)) {
    f(Width<widest<T>>{});
  } else {
    f(Width<1>{});
  }
}

template <typename T>
__device__ float to_float(T x) {
  return static_cast<float>(x);
}
__device__ inline float to_float(Bf16 x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}

// The sum on every lane, in one order: halves onto halves.
template <typename T>
__device__ T warp_sum(T x) {
  for (int half = warp_size / 2; half > 0; half /= 2) x += __shfl_xor_sync(all_lanes, x, half);
  return x;
}
template <typename T>
__device__ T warp_max(T x) {
  for (int half = warp_size / 2; half > 0; half /= 2) {
    const T other = __shfl_xor_sync(all_lanes, x, half);
    x = other > x ? other : x;
  }
  return x;
}

// The sum over a block of whole warps, on every thread. All threads come here; `shared` holds one
// element per warp.
template <typename T>
__device__ T block_sum(T x, T* shared) {
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  x = warp_sum(x);
  if (lane == 0) shared[warp] = x;
  __syncthreads();
  T sum = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / warp_size; ++w) sum += shared[w];
  __syncthreads();
  return sum;
}

}  // namespace lockstep::cuda
