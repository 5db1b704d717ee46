#include "core/nn/block.hpp"

#include <utility>

#include "core/nn/dropout.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/residual.hpp"

namespace lockstep {
namespace {

// What a probe is told a branch's tensors are.
constexpr const char* attention_norm_name = "attention_norm";
constexpr const char* attention_name = "attention";
constexpr const char* ffn_norm_name = "ffn_norm";
constexpr const char* ffn_name = "ffn";

// branch = residual + dropped (branch + bias), without a norm behind it.
void add_to_residual(Tensor& branch,
                     const Tensor& bias,
                     const Tensor& residual,
                     DropoutSite dropout,
                     const Context& context) {
  for_dropout_runs(branch.rows(), dropout, context,
                   [&](index_t first, index_t rows, const DropoutSpec& spec) {
                     Tensor sum = branch.range(first, rows);
                     residual_forward(sum, sum, bias, residual.range(first, rows), spec);
                   });
}

Tensor undropped(const Tensor& dy, DropoutSite dropout, const Context& context) {
  if (dropout.probability == 0) return dy;
  Tensor dx = Tensor::empty(dy.shape(), dy.dtype(), dy.device());
  dropout_backward(dx, dy, dropout, context);
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

// The branches' results become the residual sums in place: nobody saved them. A probe sees a branch
// as its sum.
Tensor Block::forward(const Tensor& x, Saved& saved, const Context& context) const {
  return place_ == NormPlace::pre ? forward_pre(x, saved, context)
                                  : forward_post(x, saved, context);
}

Tensor Block::forward_pre(const Tensor& x, Saved& saved, const Context& context) const {
  const Tensor input = attention_norm_.forward(x, saved.attention_norm, context);
  context.observe(attention_norm_name, input);
  Tensor h = attention_.forward_unbiased(input, saved.attention, context);
  const Tensor normed =
      ffn_norm_.forward_sum(h, attention_.bias(), x, attention_dropout(), saved.ffn_norm, context);
  context.observe(attention_name, h);
  context.observe(ffn_norm_name, normed);
  Tensor y = mlp_.forward_unbiased(normed, saved.mlp, context);
  add_to_residual(y, mlp_.bias(), h, ffn_dropout(), context);
  context.observe(ffn_name, y);
  return y;
}

Tensor Block::forward_post(const Tensor& x, Saved& saved, const Context& context) const {
  Tensor sum = attention_.forward_unbiased(x, saved.attention, context);
  const Tensor h = attention_norm_.forward_sum(sum, attention_.bias(), x, attention_dropout(),
                                               saved.attention_norm, context);
  context.observe(attention_name, sum);
  context.observe(attention_norm_name, h);
  sum = mlp_.forward_unbiased(h, saved.mlp, context);
  Tensor y = ffn_norm_.forward_sum(sum, mlp_.bias(), h, ffn_dropout(), saved.ffn_norm, context);
  context.observe(ffn_name, sum);
  context.observe(ffn_norm_name, y);
  return y;
}

Tensor Block::backward_input(const Tensor& dy, Saved& saved, const Context& context) const {
  return place_ == NormPlace::pre ? backward_pre(dy, saved, context)
                                  : backward_post(dy, saved, context);
}

Tensor Block::backward_pre(const Tensor& dy, Saved& saved, const Context& context) const {
  const Tensor dnormed =
      mlp_.backward_input(undropped(dy, ffn_dropout(), context), saved.mlp, context);
  context.observe(ffn_name, dnormed, true);
  const auto dh = ffn_norm_.backward_sum(dnormed, dy, attention_dropout(), saved.ffn_norm, context);
  context.observe(ffn_norm_name, dh.residual, true);
  const Tensor dinput = attention_.backward_input(dh.branch, saved.attention, context);
  context.observe(attention_name, dinput, true);
  Tensor dx = attention_norm_.backward_input(dinput, dh.residual, saved.attention_norm, context);
  context.observe(attention_norm_name, dx, true);
  return dx;
}

Tensor Block::backward_post(const Tensor& dy, Saved& saved, const Context& context) const {
  const auto dsum = ffn_norm_.backward_sum(dy, Tensor{}, ffn_dropout(), saved.ffn_norm, context);
  context.observe(ffn_norm_name, dsum.residual, true);
  Tensor dh = mlp_.backward_input(dsum.branch, saved.mlp, context);
  add(dh, dh, dsum.residual);
  context.observe(ffn_name, dh, true);
  const auto dfirst = attention_norm_.backward_sum(dh, Tensor{}, attention_dropout(),
                                                   saved.attention_norm, context);
  context.observe(attention_norm_name, dfirst.residual, true);
  Tensor dx = attention_.backward_input(dfirst.branch, saved.attention, context);
  add(dx, dx, dfirst.residual);
  context.observe(attention_name, dx, true);
  return dx;
}

void Block::backward_weight(Saved& saved, const Context& context) const {
  ffn_norm_.backward_weight(saved.ffn_norm, context);
  mlp_.backward_weight(saved.mlp, context);
  attention_norm_.backward_weight(saved.attention_norm, context);
  attention_.backward_weight(saved.attention, context);
}

}  // namespace lockstep
