#include "core/ops/cpu/attention_merge.hpp"

#include <algorithm>
#include <cmath>

#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {
namespace {

// Of one head: y (T_q rows, stride) and lse (T_q).
template <typename T>
void merge_head(T* y,
                index_t stride,
                T* lse,
                const T* y_part,
                index_t part_stride,
                const T* lse_part,
                const AttentionSpec& spec) {
  for (index_t i = 0; i < spec.T_q; ++i) {
    // The greater of the two is taken out, so that no exponential overflows.
    const T largest = std::max(lse[i], lse_part[i]);
    const T mine = std::exp(lse[i] - largest), other = std::exp(lse_part[i] - largest);
    const T sum = mine + other;
    T* to = y + i * stride;
    const T* from = y_part + i * part_stride;
    for (index_t c = 0; c < spec.head_size; ++c) to[c] = (to[c] * mine + from[c] * other) / sum;
    lse[i] = largest + std::log(sum);
  }
}

}  // namespace

void attention_merge(Tensor& y,
                     Tensor& lse,
                     const Tensor& y_part,
                     const Tensor& lse_part,
                     const AttentionSpec& spec) {
  with_type(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_pieces(spec.B * spec.heads, spec.T_q * spec.head_size, [&](index_t number) {
      const index_t sample = number / spec.heads, column = number % spec.heads * spec.head_size;
      const bool no_keys = spec.lengths.defined() && spec.lengths.data<std::int32_t>()[sample] <=
                                                         static_cast<std::int32_t>(spec.first_key);
      if (no_keys) return;
      const index_t row = sample * spec.T_q;
      merge_head<T>(y.data<T>() + row * y.row_stride() + column, y.row_stride(),
                    lse.data<T>() + number * spec.T_q,
                    y_part.data<T>() + row * y_part.row_stride() + column, y_part.row_stride(),
                    lse_part.data<T>() + number * spec.T_q, spec);
    });
  });
}

}  // namespace lockstep::cpu
