#include "core/ops/cpu/bf16.hpp"

#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {

void round_to_bf16(Tensor& to, const Tensor& from) {
  const auto& kernel = kernels<float>();
  for_row_blocks(to, [&](index_t row, index_t first, index_t n) {
    kernel.round_to_bf16(to.data<Bf16>() + row * to.row_stride() + first,
                         from.data<float>() + row * from.row_stride() + first, n);
  });
}

void widen_bf16(Tensor& to, const Tensor& from) {
  const auto& kernel = kernels<float>();
  for_row_blocks(to, [&](index_t row, index_t first, index_t n) {
    kernel.widen_bf16(to.data<float>() + row * to.row_stride() + first,
                      from.data<Bf16>() + row * from.row_stride() + first, n);
  });
}

}  // namespace lockstep::cpu
