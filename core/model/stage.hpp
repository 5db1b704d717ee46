// The layers [first, last) of the plan on one rank: front, blocks, head, as far as they lie in it.
#pragma once

#include <memory>
#include <vector>

#include "core/group.hpp"
#include "core/model/batch.hpp"
#include "core/model/bundle.hpp"
#include "core/model/config.hpp"
#include "core/model/parameter_table.hpp"
#include "core/model/plan.hpp"
#include "core/nn/sequence_parallel.hpp"
#include "core/ops/attention.hpp"

namespace lockstep {

enum class Recompute { none, selective, full };  // selective: attention's core

// Who shares the layers of a stage, and how. The groups must outlive the stage.
struct StageSetup {
  Group& tp;
  Group& cp;
  Recompute recompute = Recompute::none;
  bool sequence_parallel = false;  // over tp; T must be a multiple of its size
  AttentionKernels attention = AttentionKernels::plain;
  bool gelu_in_products = false;  // core/nn/mlp

  Rows rows() const { return sequence_parallel ? Rows::cut : Rows::whole; }
};

class Stage {
 public:
  // Saved of one microbatch: opaque here, a plain struct in stage.cpp.
  struct Saved;
  struct SavedDeleter {
    void operator()(Saved*) const;
  };
  using SavedHandle = std::unique_ptr<Saved, SavedDeleter>;

  // The store must outlive the stage.
  Stage(const ModelConfig& config, StageRange range, ParameterStore& store, StageSetup setup);
  ~Stage();
  Stage(Stage&&) noexcept;

  bool first() const;  // holds the front: forward ignores its input bundle
  bool last() const;   // holds the head: forward adds to the loss terms and returns an empty bundle
  // What a microbatch of N rows carries to the next stage.
  std::vector<TensorSpec> border(index_t N) const;

  SavedHandle make_saved() const;
  // All that it keeps, in bytes; what is the batch's left out (core/model/activation_plan.hpp).
  static std::size_t bytes_of(const Saved& saved);
  // context.batch must be batch.view(). In evaluation (context.training false) only the loss terms
  // come out.
  Bundle forward(const Batch& batch,
                 const Bundle& input,
                 Saved& saved,
                 const Context& context) const;
  // B and W apart, for zero-bubble schedules. dout is empty on the last stage, the result empty on
  // the first.
  Bundle backward_input(const Batch& batch,
                        const Bundle& dout,
                        Saved& saved,
                        const Context& context) const;
  void backward_weight(const Batch& batch, Saved& saved, const Context& context) const;
  // B, then W of each layer at once: frees each layer's memory before the next.
  Bundle backward(const Batch& batch,
                  const Bundle& dout,
                  Saved& saved,
                  const Context& context) const;
  // Logits of the given rows (head stage; whole over tp, padding left out), for generation: (n, V).
  Tensor logits(const Batch& batch, const Bundle& input, const Context& context) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// The loss terms of an objective, in their order, sums and counts zero: {lm} | {mlm} | {mlm, nsp}.
std::vector<LossTerm> loss_terms(const ModelConfig& config);
// Adds the integers of one microbatch (targets, sequences) to the counts.
void add_counts(std::vector<LossTerm>& terms, const Batch& batch);

}  // namespace lockstep
