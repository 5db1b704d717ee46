// From the gradients of one replica to those of the global batch: tied parameters over the stages
// that use them, parameters of kind `partial` over tp, everything over dp x cp: an all-reduce, or
// with ZeRO-1 (Rajbhandari et al. 2020) a reduce-scatter after which a rank holds the sum of its
// own span of the flat buffer only. Sums, never means: the loss is scaled by counts. In buckets of
// 2 MiB, which begin while the passes go on, as soon as a bucket's gradients are whole; with ZeRO-1
// those of parameters that stages share begin after them.
#pragma once

#include <memory>
#include <vector>

#include "core/model/parameter_table.hpp"
#include "core/nn/context.hpp"
#include "parallel/topology.hpp"

namespace lockstep {

class GradientSync final : public BackwardObserver {
 public:
  // Collective over the world. stages: to find which ranks share a parameter.
  // The topology and the store must outlive this. fixed: reproducible mode: the bits depend on no
  // degree.
  GradientSync(ParameterStore& store,
               const Topology& topology,
               const StageMap& stages,
               bool zero,
               bool fixed = false);
  ~GradientSync() override;

  // The part of the flat buffers this rank steps and stores moments for: all of it, or its ZeRO-1
  // span.
  Span own_span() const { return own_span_; }

  // Before a step's passes: whom they tell how far they are, so that sums begin beside them; null
  // where all of them are left to finish() (reproducible mode, one replica).
  BackwardObserver* begin();
  void op_done() override;
  void layer_done(index_t position) override;
  void finish();  // all sums; collective
  // 2-norm over all parameters of the model, each element once (replicated and tied ones too); the
  // same bits on all ranks. Of the summed gradients, before any scaling. Collective.
  double norm() { return norm(sum_of_squares()); }
  // The same in two steps, the host waiting in the second alone: this rank's part of the squares,
  // (1) f64 where the gradients are, and the norm from it.
  Tensor sum_of_squares() const;
  double norm(const Tensor& squares) const;
  void gather_values();  // after the step: ZeRO-1's all-gather of the values; nothing otherwise

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
  Span own_span_;
};

}  // namespace lockstep
