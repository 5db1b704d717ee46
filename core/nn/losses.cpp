#include "core/nn/losses.hpp"

#include <algorithm>
#include <utility>

#include "core/nn/linear.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/gemm.hpp"

namespace lockstep {

void start_losses(std::vector<LossTerm>& terms, Device device) {
  for (LossTerm& term : terms) {
    if (!term.unread.defined()) term.unread = Tensor::zeros({4}, DType::i64, device);
  }
}

void read_losses(std::vector<LossTerm>& terms) {
  for (LossTerm& term : terms) {
    if (!term.unread.defined()) continue;
    const Tensor read = term.unread.to(Device{});
    ExactSum::Limbs limbs;
    std::copy_n(read.data<std::int64_t>(), limbs.size(), limbs.begin());
    term.sum += ExactSum(limbs);
    term.unread = {};
  }
}

CrossEntropy::CrossEntropy(VocabularySlice slice, std::size_t term, Group& group)
    : slice_(slice), term_(term), group_(&group) {}

void CrossEntropy::forward(const Tensor& logits,
                           const Tensor& targets,
                           Saved& saved,
                           const Context& context) const {
  context.observe({ProbePoint::head, "head logits", false}, logits);
  const index_t n = logits.rows();
  assert(targets.count() == n);
  const bool counts_correct = !context.training && !context.recomputing;
  saved.targets = targets;
  saved.largest = Tensor::empty({n}, DType::f64, logits.device());
  saved.statistics = Tensor::empty({2, n}, DType::f64, logits.device());
  Tensor argmax, largest_here;
  if (counts_correct) argmax = Tensor::empty({n}, DType::i64, logits.device());

  cross_entropy_max(saved.largest, argmax, logits, slice_);
  if (counts_correct) largest_here = saved.largest.clone();
  group_->all_reduce(saved.largest, Reduce::max, "cross_entropy");
  cross_entropy_statistics(
      saved.statistics, logits, targets, saved.largest, slice_,
      context.sums.over_features(logits.columns(), group_->size()).num_chains());
  group_->all_reduce(saved.statistics, Reduce::sum, "cross_entropy");

  if (context.recomputing) return;
  start_losses(*context.terms, logits.device());
  LossTerm& term = (*context.terms)[term_];
  add_cross_entropy_loss(term.unread, saved.largest, saved.statistics, targets);
  if (logits.device().kind == Device::Kind::cpu) read_losses(*context.terms);  // without a wait
  if (counts_correct) count_correct(argmax, largest_here, saved, term);
}

// Of ranks whose largest logit is the largest of all, the least column wins: the first largest, as
// without a cut.
void CrossEntropy::count_correct(const Tensor& argmax,
                                 const Tensor& largest_here,
                                 const Saved& saved,
                                 LossTerm& term) const {
  Tensor first = argmax.to(Device{});
  const Tensor here = largest_here.to(Device{}), largest = saved.largest.to(Device{});
  const Tensor targets = saved.targets.to(Device{});
  for (index_t i = 0; i < first.count(); ++i) {
    if (here.data<double>()[i] < largest.data<double>()[i]) {
      first.data<std::int64_t>()[i] = slice_.V;
    }
  }
  group_->all_reduce(first, Reduce::min, "cross_entropy");
  for (index_t i = 0; i < first.count(); ++i) {
    if (first.data<std::int64_t>()[i] == targets.data<std::int32_t>()[i]) ++term.correct;
  }
}

void CrossEntropy::backward(Tensor& logits, const Saved& saved, const Context& context) const {
  cross_entropy_backward(logits, saved.targets, saved.largest, saved.statistics,
                         context.gradient_factor(term_), slice_);
}

VocabularyLoss::VocabularyLoss(Parameter weight,
                               Parameter bias,
                               VocabularySlice slice,
                               std::size_t term,
                               Group& tp,
                               index_t chunk_rows)
    : weight_(std::move(weight)),
      bias_(std::move(bias)),
      slice_(slice),
      cross_entropy_(slice, term, tp),
      tp_(&tp),
      chunk_rows_(chunk_rows) {
  assert(weight_.defined() && chunk_rows_ > 0);
}

Tensor VocabularyLoss::local_logits(const Tensor& x, const Summation& sums) const {
  Tensor logits =
      Tensor::empty({x.rows(), weight_.value.rows()}, value_type(x.dtype()), x.device());
  if (sums.fixed) {
    gemm_fixed(logits, x, Transpose::no, weight_.operand(), Transpose::yes,
               SumOrder::chain(x.columns()));
    if (bias_.defined()) add_bias(logits, bias_.value);
  } else if (bias_.defined()) {
    gemm_bias(logits, x, Transpose::no, weight_.operand(), Transpose::yes, bias_.value);
  } else {
    gemm(logits, x, Transpose::no, weight_.operand(), Transpose::yes);
  }
  return logits;
}

index_t VocabularyLoss::chunk_rows(index_t rows, const Context& context) const {
  return context.sums.keeps_rows_together() ? std::max<index_t>(rows, 1) : chunk_rows_;
}

void VocabularyLoss::forward(const Tensor& x,
                             const Tensor& targets,
                             Saved& saved,
                             const Context& context) const {
  const index_t n = x.rows(), at_once = chunk_rows(n, context);
  saved = {};
  saved.x = operand_of(x, weight_);
  // Rows that stay together are one chunk even when there are none here: others may have some.
  const index_t least = context.sums.keeps_rows_together() ? 1 : 0;
  saved.chunks.resize(static_cast<std::size_t>(std::max(least, (n + at_once - 1) / at_once)));
  if (context.training) saved.dx = Tensor::empty(x.shape(), x.dtype(), x.device());
  for (std::size_t chunk = 0; chunk < saved.chunks.size(); ++chunk) {
    const index_t first = static_cast<index_t>(chunk) * at_once;
    const index_t rows = std::min(at_once, n - first);
    Tensor logits = local_logits(saved.x.range(first, rows), context.sums);
    cross_entropy_.forward(logits, targets.range(first, rows), saved.chunks[chunk], context);
    if (!context.training) continue;
    cross_entropy_.backward(logits, saved.chunks[chunk], context);
    const Tensor dlogits = operand_of(logits, weight_);
    Tensor dx = saved.dx.range(first, rows);
    if (context.sums.fixed) {
      gemm_fixed(dx, dlogits, Transpose::no, weight_.operand(), Transpose::no,
                 context.sums.over_features(logits.columns(), tp_->size()));
    } else {
      gemm(dx, dlogits, Transpose::no, weight_.operand(), Transpose::no);
    }
    if (saved.chunks.size() == 1) saved.dlogits = dlogits;
  }
}

Tensor VocabularyLoss::backward_input(Saved& saved, const Context&) const {
  return std::exchange(saved.dx, {});
}

void VocabularyLoss::backward_weight(Saved& saved, const Context& context) const {
  Tensor dweight = weight_.gradient, dbias = bias_.gradient;
  const index_t at_once = chunk_rows(saved.x.rows(), context);
  for (std::size_t chunk = 0; chunk < saved.chunks.size(); ++chunk) {
    const index_t first = static_cast<index_t>(chunk) * at_once;
    const Tensor x = saved.x.range(first, std::min(at_once, saved.x.rows() - first));
    Tensor dlogits = saved.dlogits;
    if (!dlogits.defined()) {
      Tensor logits = local_logits(x, context.sums);
      cross_entropy_.backward(logits, saved.chunks[chunk], context);
      dlogits = operand_of(logits, weight_);
    }
    Context part = context;
    if (part.sums.picked.defined()) part.sums.picked = part.sums.picked.range(first, x.rows());
    add_weight_gradient(dweight, dbias, dlogits, x, part);
  }
  saved = {};
}

Tensor VocabularyLoss::logits(const Tensor& x, const Summation& sums) const {
  const index_t n = x.rows(), V_local = weight_.value.rows(), ranks = tp_->size();
  // Rank after rank, each (n, V_local); then side by side.
  Tensor blocks = Tensor::empty({ranks, n, V_local}, x.dtype(), x.device());
  blocks.range(tp_->rank(), 1)
      .reshape({n, V_local})
      .copy_from(local_logits(operand_of(x, weight_), sums));
  tp_->all_gather(blocks.reshape({blocks.count()}), "head");
  Tensor whole = Tensor::empty({n, slice_.V}, x.dtype(), x.device());
  for (index_t rank = 0; rank < ranks && rank * V_local < slice_.V; ++rank) {
    const index_t real = std::min(V_local, slice_.V - rank * V_local);
    whole.column_range(rank * V_local, real)
        .copy_from(blocks.range(rank, 1).reshape({n, V_local}).column_range(0, real));
  }
  return whole;
}

}  // namespace lockstep
