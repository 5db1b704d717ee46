#include "core/ops/cross_entropy.hpp"

#include "core/ops/cpu/cross_entropy.hpp"
#include "core/ops/cuda/cross_entropy.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {
namespace {

bool is_vector(const Tensor& v, DType dtype, index_t n, Device device) {
  return v.dtype() == dtype && v.count() == n && v.contiguous() && v.device() == device;
}

// N rows of targets, maxima and (2, N) statistics.
bool fit(const Tensor& statistics,
         const Tensor& targets,
         const Tensor& largest,
         index_t N,
         Device device) {
  return is_vector(statistics, DType::f64, 2 * N, device) &&
         is_vector(targets, DType::i32, N, device) && is_vector(largest, DType::f64, N, device);
}

}  // namespace

void cross_entropy_max(Tensor& largest,
                       Tensor& argmax,
                       const Tensor& logits,
                       VocabularySlice slice) {
  assert(logits.shape().dims() == 2 &&
         is_vector(largest, DType::f64, logits.shape()[0], logits.device()));
  assert(!argmax.defined() || is_vector(argmax, DType::i64, logits.shape()[0], logits.device()));
  LOCKSTEP_OP(logits.device(), cross_entropy_max(largest, argmax, logits, slice));
}

void cross_entropy_statistics(Tensor& statistics,
                              const Tensor& logits,
                              const Tensor& targets,
                              const Tensor& largest,
                              VocabularySlice slice,
                              index_t shards) {
  assert(shards >= 1 && logits.columns() % shards == 0);
  assert(logits.shape().dims() == 2);
  assert(fit(statistics, targets, largest, logits.shape()[0], logits.device()));
  if (shards > 1) {
    require_cpu(logits.device());
    return cpu::cross_entropy_statistics(statistics, logits, targets, largest, slice, shards);
  }
  LOCKSTEP_OP(logits.device(),
              cross_entropy_statistics(statistics, logits, targets, largest, slice));
}

void add_cross_entropy_loss(Tensor& limbs,
                            const Tensor& largest,
                            const Tensor& statistics,
                            const Tensor& targets) {
  assert(fit(statistics, targets, largest, targets.count(), largest.device()));
  assert(is_vector(limbs, DType::i64, 4, largest.device()));
  LOCKSTEP_OP(largest.device(), add_cross_entropy_loss(limbs, largest, statistics, targets));
}

void cross_entropy_backward(Tensor& logits,
                            const Tensor& targets,
                            const Tensor& largest,
                            const Tensor& statistics,
                            double factor,
                            VocabularySlice slice) {
  assert(logits.shape().dims() == 2);
  assert(fit(statistics, targets, largest, logits.shape()[0], logits.device()));
  LOCKSTEP_OP(logits.device(),
              cross_entropy_backward(logits, targets, largest, statistics, factor, slice));
}

}  // namespace lockstep
