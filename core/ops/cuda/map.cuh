// Elementwise kernels: a functor is called once per pack of W columns of a row.
#pragma once

#include "core/ops/cuda/kernel.cuh"

namespace lockstep::cuda {

constexpr int map_threads = 256;

// Rows x columns to be walked; whole tensors without gaps are one long row.
struct Walk {
  index_t rows, columns;
};
template <typename... X>
Walk walk_of(const Tensor& x, const X&... others) {
  if (x.contiguous() && (... && (!others.defined() || others.contiguous()))) return {1, x.count()};
  return {x.rows(), x.columns()};
}

// f(row, first column) for each pack of `per_call` columns; columns is a multiple of it, or f looks
// for the end itself.
template <typename F>
__global__ void map_kernel(index_t rows, index_t packs, int per_call, F f) {
  const index_t i = global_thread();
  if (i >= rows * packs) return;
  const index_t row = rows == 1 ? 0 : i / packs;
  f(row, (i - row * packs) * per_call);
}

template <typename F>
void map(Runtime& runtime, Walk walk, int per_call, const F& f) {
  const index_t packs = (walk.columns + per_call - 1) / per_call;
  launch(runtime.stream(), blocks_for(walk.rows * packs, map_threads), map_threads, map_kernel<F>,
         walk.rows, packs, per_call, f);
}

}  // namespace lockstep::cuda
