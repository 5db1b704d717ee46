// The kernels for every x86-64: SSE2, no fused multiply-add.
#include "core/ops/cpu/kernels.hpp"

#define LOCKSTEP_INSTRUCTION_SET scalar
#define LOCKSTEP_VECTOR_BYTES 16

namespace lockstep::cpu::scalar {
namespace {

template <typename V, typename W>
inline W multiply_add(V a, W b, W c) {
  return a * b + c;
}

}  // namespace
}  // namespace lockstep::cpu::scalar

#include "core/ops/cpu/kernels.inc"
