// One Transformer layer of two residual branches, attention and mlp.   x, y (N, C), or this rank's
// shard of their rows when the branches' outer Linears have Rows::cut.
//   pre:  h = x + drop(attention(norm1(x)));   y = h + drop(mlp(norm2(h)))     GPT-2
//   post: h = norm1(x + drop(attention(x)));   y = norm2(h + drop(mlp(h)))     BERT
// Dropout masks are functions of site, sample, position and feature: nothing of them is saved.
#pragma once

#include "core/footprint.hpp"
#include "core/nn/attention.hpp"
#include "core/nn/layer_norm.hpp"
#include "core/nn/mlp.hpp"

namespace lockstep {

class Block {
 public:
  struct Saved {
    LayerNorm::Saved attention_norm, ffn_norm;
    Attention::Saved attention;
    Mlp::Saved mlp;

    void add_to(Footprint& footprint) const {
      footprint.add(attention_norm, ffn_norm, attention, mlp);
    }
  };

  Block(LayerNorm attention_norm,
        Attention attention,
        LayerNorm ffn_norm,
        Mlp mlp,
        NormPlace place,
        double dropout);

  Tensor forward(const Tensor& x, Saved& saved, const Context& context) const;
  Tensor backward_input(const Tensor& dy, Saved& saved, const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;

 private:
  Tensor forward_pre(const Tensor& x, Saved& saved, const Context& context) const;
  Tensor forward_post(const Tensor& x, Saved& saved, const Context& context) const;
  Tensor backward_pre(const Tensor& dy, Saved& saved, const Context& context) const;
  Tensor backward_post(const Tensor& dy, Saved& saved, const Context& context) const;
  DropoutSite attention_dropout() const { return {Site::Op::attention_output, dropout_}; }
  DropoutSite ffn_dropout() const { return {Site::Op::ffn_output, dropout_}; }

  LayerNorm attention_norm_;
  Attention attention_;
  LayerNorm ffn_norm_;
  Mlp mlp_;
  NormPlace place_;
  double dropout_;
};
static_assert(Module<Block>);

}  // namespace lockstep
