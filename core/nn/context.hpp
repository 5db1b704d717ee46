// What a layer needs to know about the moment: step, batch, position, and where loss terms go.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/exact_sum.hpp"
#include "core/nn/summation.hpp"
#include "core/ops/dropout.hpp"
#include "core/sequence_cut.hpp"
#include "core/tensor.hpp"

namespace lockstep {

// Position of a dropout in the model. Keyed by position, never by parameter name (layers may share
// parameters) or rank.
struct Site {
  enum class Op : std::uint32_t { embedding, attention, attention_output, ffn_output };

  std::uint32_t stack = 0;  // 0: the only stack of GPT and BERT
  std::uint32_t layer = 0;  // global layer number; embeddings use 0
};

// One term of the loss: total = sum over terms of weight * sum / count. count is of the whole
// global batch, known before the first forward; sum is of what this rank's head has seen in this
// step.
struct LossTerm {
  std::string name;  // "lm", "mlm", "nsp"
  double weight = 1;
  ExactSum sum;
  std::int64_t count = 0;
  // Rows whose first largest logit is the target; counted in evaluation only.
  std::int64_t correct = 0;
  Tensor unread;  // (4) i64: limbs of what is yet to be added to sum, see read_losses()
};

// What layers see of a microbatch: B samples of at most T positions on this rank.
struct BatchView {
  index_t B = 0, T = 0;
  Tensor lengths;     // (B) i32 real tokens of each whole sample; undefined: all
  Tensor sample_ids;  // (B) i64 global sample numbers
  SequenceCut cut;    // which positions the T are, and where their rows stand
  // (B + 1) i64 in host memory; uncut: position t of sample b is row row_starts[b] + t, as far as
  // row_starts[b + 1], and rows past T or past the length do not exist. Undefined: row b T + t.
  Tensor row_starts;

  index_t first_row(index_t b) const {
    return row_starts.defined() ? row_starts.data<std::int64_t>()[b] : b * T;
  }
  index_t rows() const { return first_row(B); }
};

// Sequence parallelism: outside the products that tp cuts, a rank holds rows span_of(B*T, rank,
// size) of a microbatch.
struct RowShard {
  int rank = 0, size = 1;
};

// Where a tensor was computed, for a probe. position: 0 the front, 1 + l block l, head.
struct ProbePoint {
  static constexpr std::uint32_t front = 0, head = 0xffffffff;

  std::uint32_t position = front;
  const char* op = "";
  bool backward = false;
};
// Sees what each layer computes when a step is repeated to find where its numbers went wrong.
using Probe = std::function<void(const ProbePoint&, const Tensor&)>;

// Is told how far a backward pass has come, so that sums over ranks can go on beside it.
class BackwardObserver {
 public:
  virtual ~BackwardObserver() = default;
  virtual void op_done() = 0;  // now and then within a layer
  // The parameters of the layer at this plan position get no more gradients in this step.
  virtual void layer_done(index_t position) = 0;
};

struct Context {
  std::int64_t step = 0;  // 1 is the first
  std::uint64_t seed = 0;
  BatchView batch;
  RowShard shard;
  Site site;
  bool training = true;      // dropout acts, gradients follow
  bool recomputing = false;  // a second forward inside backward: loss terms are not added again
  // W follows B of the same layer at once: a Linear computes its dW while the sum of dX travels.
  bool weights_follow = false;
  std::vector<LossTerm>* terms = nullptr;
  Summation sums;
  const Probe* probe = nullptr;
  BackwardObserver* backward = nullptr;
  bool last_weights = false;  // no microbatch after this one adds to the stage's gradients

  Context at(std::uint32_t layer) const {
    Context context = *this;
    context.site.layer = layer;
    return context;
  }
  // In a block; front and head name their positions.
  void observe(const char* op, const Tensor& y, bool backward = false) const {
    observe({1 + site.layer, op, backward}, y);
  }
  void observe(const ProbePoint& point, const Tensor& y) const {
    if (probe != nullptr && y.defined()) (*probe)(point, y);
  }
  void op_done() const {
    if (backward != nullptr) backward->op_done();
  }
  void layer_done(index_t position) const {
    if (backward != nullptr && last_weights) backward->layer_done(position);
  }
  PhiloxKey dropout_key(Site::Op op) const {
    const std::uint64_t where = (std::uint64_t{site.stack} << 48) |
                                (std::uint64_t{site.layer} << 16) | static_cast<std::uint64_t>(op);
    return philox_key(seed, hash_name("dropout"), mix(static_cast<std::uint64_t>(step), where));
  }
  // A term's output gradient is scaled at its source by weight * count_0 / count; the optimizer
  // multiplies once by 1 / count_0.
  double gradient_factor(std::size_t term) const {
    const LossTerm& t = (*terms)[term];
    return t.count == 0
               ? 0.0
               : t.weight * static_cast<double>((*terms)[0].count) / static_cast<double>(t.count);
  }
};

}  // namespace lockstep
