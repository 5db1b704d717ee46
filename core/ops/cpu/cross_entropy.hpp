#pragma once

#include "core/ops/cross_entropy.hpp"

namespace lockstep::cpu {

void cross_entropy_max(Tensor& largest,
                       Tensor& argmax,
                       const Tensor& logits,
                       VocabularySlice slice);
void cross_entropy_statistics(Tensor& statistics,
                              const Tensor& logits,
                              const Tensor& targets,
                              const Tensor& largest,
                              VocabularySlice slice,
                              index_t shards = 1);
void add_cross_entropy_loss(Tensor& limbs,
                            const Tensor& largest,
                            const Tensor& statistics,
                            const Tensor& targets);
void cross_entropy_backward(Tensor& logits,
                            const Tensor& targets,
                            const Tensor& largest,
                            const Tensor& statistics,
                            double factor,
                            VocabularySlice slice);

}  // namespace lockstep::cpu
