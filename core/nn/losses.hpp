// Cross-entropy terms of the loss (core/ops/cross_entropy).
// n rows, C width, V vocabulary, V_local columns of this rank.
//
// CrossEntropy: logits (n, V_local) -> the sum over counted rows; logits -> their gradient.
// VocabularyLoss: logits = x E^T + b, the decoder cut over the vocabulary, in chunks of rows: of a
// microbatch of more rows than one chunk, only a chunk's logits ever exist.
#pragma once

#include <vector>

#include "core/footprint.hpp"
#include "core/group.hpp"
#include "core/nn/context.hpp"
#include "core/ops/cross_entropy.hpp"
#include "core/parameter.hpp"

namespace lockstep {

// Adds to the sums of terms what passes left on their GPU, so that the host waits once and not for
// each loss.
void read_losses(std::vector<LossTerm>& terms);
// Makes room for that; by the first loss at the latest.
void start_losses(std::vector<LossTerm>& terms, Device device);

class CrossEntropy {
 public:
  struct Saved {
    Tensor targets, largest, statistics;  // (n) i32, (n) f64, (2, n) f64; of all columns

    // targets are the batch's.
    void add_to(Footprint& footprint) const { footprint.add(largest, statistics); }
  };

  // group: the ranks the columns are cut over; must outlive this. term: index into context.terms.
  CrossEntropy(VocabularySlice slice, std::size_t term, Group& group);

  // Adds to the term's sum unless recomputing; in evaluation counts correct rows too.
  void forward(const Tensor& logits,
               const Tensor& targets,
               Saved& saved,
               const Context& context) const;
  void backward(Tensor& logits, const Saved& saved, const Context& context) const;  // in place

 private:
  void count_correct(const Tensor& argmax,
                     const Tensor& largest_here,
                     const Saved& saved,
                     LossTerm& term) const;

  VocabularySlice slice_;
  std::size_t term_;
  Group* group_;
};

// The gradients come in a cheap order: forward, which has the logits at hand, also computes dx when
// training. A microbatch of one chunk keeps its dlogits for backward_weight; with more chunks
// backward_weight computes each chunk's logits a second time (the same bits): one matrix product
// more, but never more than one chunk of (chunk_rows, V_local).
class VocabularyLoss {
 public:
  struct Saved {
    // x and dlogits as the products read them.
    Tensor x, dx;    // (n, C); dx from forward to backward_input only
    Tensor dlogits;  // (n, V_local) when there is one chunk
    std::vector<CrossEntropy::Saved> chunks;

    void add_to(Footprint& footprint) const { footprint.add(x, dx, dlogits, chunks); }
  };
  static constexpr index_t default_chunk_rows = 4096;

  // weight (V_local, C); bias (V_local) may be undefined.
  VocabularyLoss(Parameter weight,
                 Parameter bias,
                 VocabularySlice slice,
                 std::size_t term,
                 Group& tp,
                 index_t chunk_rows = default_chunk_rows);

  // targets (n) i32; contiguous x.
  void forward(const Tensor& x, const Tensor& targets, Saved& saved, const Context& context) const;
  // (n, C): this rank's part, still to be summed over tp.
  Tensor backward_input(Saved& saved, const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;
  Tensor logits(const Tensor& x, const Summation& sums) const;  // (n, V), whole on every rank

 private:
  // (n, V_local), padded columns too; x as the product reads it.
  Tensor local_logits(const Tensor& x, const Summation& sums) const;
  index_t chunk_rows(index_t rows, const Context& context) const;

  Parameter weight_, bias_;
  VocabularySlice slice_;
  CrossEntropy cross_entropy_;
  Group* tp_;
  index_t chunk_rows_;
};

}  // namespace lockstep
