#include "core/nn/block.hpp"

#include <utility>

#include "core/nn/dropout.hpp"
#include "core/ops/elementwise.hpp"

namespace lockstep {
namespace {

template <typename Branch>
Tensor forward_branch(const LayerNorm& norm,
                      const Branch& branch,
                      const Tensor& x,
                      LayerNorm::Saved& norm_saved,
                      typename Branch::Saved& branch_saved,
                      NormPlace place,
                      DropoutSite dropout,
                      const Context& context) {
  const bool pre = place == NormPlace::pre;
  Tensor sum =
      branch.forward(pre ? norm.forward(x, norm_saved, context) : x, branch_saved, context);
  dropout_forward(sum, sum, x, dropout, context);  // the branch's result is ours: nobody saved it
  return pre ? sum : norm.forward(sum, norm_saved, context);
}

Tensor undropped(const Tensor& dy, DropoutSite dropout, const Context& context) {
  if (dropout.probability == 0) return dy;
  Tensor dx = Tensor::empty(dy.shape(), dy.dtype(), dy.device());
  dropout_backward(dx, dy, dropout, context);
  return dx;
}

// dx = dsum + the branch's part, dsum the gradient of the residual sum.
template <typename Branch>
Tensor backward_branch(const LayerNorm& norm,
                       const Branch& branch,
                       const Tensor& dy,
                       LayerNorm::Saved& norm_saved,
                       typename Branch::Saved& branch_saved,
                       NormPlace place,
                       DropoutSite dropout,
                       const Context& context) {
  const bool pre = place == NormPlace::pre;
  const Tensor dsum = pre ? dy : norm.backward_input(dy, norm_saved, context);
  Tensor dx = branch.backward_input(undropped(dsum, dropout, context), branch_saved, context);
  if (pre) dx = norm.backward_input(dx, norm_saved, context);
  add(dx, dx, dsum);
  return dx;
}

}  // namespace

Block::Block(LayerNorm attention_norm,
             Attention attention,
             LayerNorm ffn_norm,
             Mlp mlp,
             NormPlace place,
             double dropout)
    : attention_norm_(std::move(attention_norm)),
      attention_(std::move(attention)),
      ffn_norm_(std::move(ffn_norm)),
      mlp_(std::move(mlp)),
      place_(place),
      dropout_(dropout) {}

Tensor Block::forward(const Tensor& x, Saved& saved, const Context& context) const {
  const Tensor h =
      forward_branch(attention_norm_, attention_, x, saved.attention_norm, saved.attention, place_,
                     {Site::Op::attention_output, dropout_}, context);
  return forward_branch(ffn_norm_, mlp_, h, saved.ffn_norm, saved.mlp, place_,
                        {Site::Op::ffn_output, dropout_}, context);
}

Tensor Block::backward_input(const Tensor& dy, Saved& saved, const Context& context) const {
  const Tensor dh = backward_branch(ffn_norm_, mlp_, dy, saved.ffn_norm, saved.mlp, place_,
                                    {Site::Op::ffn_output, dropout_}, context);
  return backward_branch(attention_norm_, attention_, dh, saved.attention_norm, saved.attention,
                         place_, {Site::Op::attention_output, dropout_}, context);
}

void Block::backward_weight(Saved& saved, const Context& context) const {
  ffn_norm_.backward_weight(saved.ffn_norm, context);
  mlp_.backward_weight(saved.mlp, context);
  attention_norm_.backward_weight(saved.attention_norm, context);
  attention_.backward_weight(saved.attention, context);
}

}  // namespace lockstep
