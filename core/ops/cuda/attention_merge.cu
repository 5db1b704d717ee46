#include "core/ops/cuda/attention_merge.hpp"
#include "core/ops/cuda/kernel.cuh"

namespace lockstep::cuda {
namespace {

constexpr int warps = 8;
constexpr int threads = warps * warp_size;

// A warp per row of a head; blocks: a head of a sample (x) by `warps` of its rows (y).
// lse, lse_part (B, heads, T)
template <typename T>
__global__ void __launch_bounds__(threads) merge_kernel(RowsOf<T> y,
                                                        float* lse,
                                                        RowsOf<const T> y_part,
                                                        const float* lse_part,
                                                        index_t T_q,
                                                        index_t heads,
                                                        index_t HS,
                                                        const std::int32_t* lengths,
                                                        index_t first_key) {
  const index_t sample = blockIdx.x / heads, head = blockIdx.x % heads;
  const index_t i = static_cast<index_t>(blockIdx.y) * warps + threadIdx.x / warp_size;
  if (i >= T_q || (lengths != nullptr && lengths[sample] <= first_key)) return;
  const index_t row = static_cast<index_t>(blockIdx.x) * T_q + i;
  const float before = lse[row], part = lse_part[row];
  // The greater of the two is taken out, so that no exponential overflows.
  const float largest = before > part ? before : part;
  const float mine = expf(before - largest), other = expf(part - largest), sum = mine + other;
  T* to = y[sample * T_q + i] + head * HS;
  const T* from = y_part[sample * T_q + i] + head * HS;
  for (index_t c = threadIdx.x % warp_size; c < HS; c += warp_size)
    to[c] = static_cast<T>((to_float(to[c]) * mine + to_float(from[c]) * other) / sum);
  __syncwarp();  // all lanes have read lse
  if (threadIdx.x % warp_size == 0) lse[row] = largest + logf(sum);
}

}  // namespace

void attention_merge(Tensor& y,
                     Tensor& lse,
                     const Tensor& y_part,
                     const Tensor& lse_part,
                     const AttentionSpec& spec) {
  dim3 blocks = blocks_for(spec.B * spec.heads, 1);
  blocks.y = static_cast<unsigned>((spec.T_q + warps - 1) / warps);
  with_type(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    launch(Runtime::of(y.device()).stream(), blocks, threads, merge_kernel<T>, rows_of<T>(y),
           lse.data<float>(), rows_of<T>(y_part), lse_part.data<float>(), spec.T_q, spec.heads,
           spec.head_size, spec.lengths.defined() ? spec.lengths.data<std::int32_t>() : nullptr,
           spec.first_key);
  });
}

}  // namespace lockstep::cuda
