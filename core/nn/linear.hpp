// y = x W^T + b.   x (N, C)  W (F, C)  y (N, F).
// Split::output cuts F over tp: a rank reads the whole x and writes its columns of y; dx is a sum.
// Split::input cuts C: a rank reads its columns of x; y is a sum over tp.
// (f and g of Shoeybi et al. 2019, "Megatron-LM".)
// The bias is added after the sum: each rank holds a part of x W^T but all of b.
// Rows::cut (sequence parallelism): outside the product a rank holds its shard of the rows. Split::
// output gathers x, and again for dW instead of keeping it; its dx is summed to shards.
// Split::input sums y to shards and gathers dy, so the bias's gradient is whole on every rank.
// In bf16 precision x, W and dy are rounded, once, before they are gathered; sums stay fp32.
#pragma once

#include "core/footprint.hpp"
#include "core/group.hpp"
#include "core/nn/module.hpp"
#include "core/nn/sequence_parallel.hpp"
#include "core/parameter.hpp"

namespace lockstep {

enum class Split { none, output, input };

// x as a product with the weight reads it: itself, or rounded to the weight's bf16.
Tensor operand_of(const Tensor& x, const Parameter& weight);

class Linear {
 public:
  struct Saved {
    Tensor x, dy;  // as the products read them

    void add_to(Footprint& footprint) const { footprint.add(x, dy); }
  };

  // weight and bias of this rank; bias may be undefined. tp must outlive the module; what names the
  // sums. The weight may be several fused along F (q, k, v), each cut over tp: `parts` of them.
  Linear(Parameter weight,
         Parameter bias,
         Split split,
         Group& tp,
         Rows rows = Rows::whole,
         const char* what = "layer",
         index_t parts = 1);

  Tensor forward(const Tensor& x, Saved& saved, const Context& context) const;
  // x W^T alone: for what comes next and adds bias() on its way.
  Tensor forward_unbiased(const Tensor& x, Saved& saved, const Context& context) const;
  const Tensor& bias() const { return bias_.value; }  // may be undefined
  // gelu_tanh(x W^T + b), and x W^T + b in `before`, by one product where the device has that; its
  // sums are in no fixed order. Not for Split::input, whose bias follows a sum over tp.
  Tensor forward_gelu(const Tensor& x, Tensor& before, Saved& saved) const;
  Tensor biased(Tensor y) const;  // y, with the bias added in place
  Tensor backward_input(const Tensor& dy, Saved& saved, const Context& context) const;
  // The same where x was gelu_tanh(before): the gradient of `before`, likewise. Not for
  // Split::output, whose gradient of x is a sum over tp.
  Tensor backward_gelu(const Tensor& dy, const Tensor& before, Saved& saved) const;
  void backward_weight(Saved& saved, const Context& context) const;
  // x as the product reads it, for a caller that puts a recomputed x into Saved.
  Tensor operand(const Tensor& x) const { return operand_of(x, weight_); }

 private:
  // bias: undefined, or added by the product.
  Tensor multiplied(const Tensor& x,
                    const Tensor& bias,
                    Saved& saved,
                    const Context& context) const;
  bool gathers(Split split) const;  // the rows of what this split reads whole
  // x and dy as the products read them, saved for the gradients.
  Tensor read_input(const Tensor& x, Saved& saved) const;
  void read_gradient(const Tensor& dy, Saved& saved) const;
  // Over tp: whole, or this rank's shard; `meanwhile` runs while the sum is under way.
  template <typename F>
  Tensor summed(const Tensor& partial, F meanwhile) const;
  // backward_input, which has a sum to wait for, does the work of backward_weight too.
  bool weights_behind_sum(const Context& context) const;
  void add_gradients(Saved& saved, const Context& context) const;
  SumOrder order_of(Split cut, index_t count, index_t parts, const Context& context) const;

  Parameter weight_, bias_;
  Split split_;
  Rows rows_;
  Group* tp_;
  const char* what_;
  index_t parts_;
};
static_assert(Module<Linear>);

// dweight (F, C) += dy^T x and dbias (F), which may be undefined, += the sum of dy's rows; dy and x
// as the product reads them. In a fixed order a microbatch of several data shards overwrites them:
// they are +0 before it.
void add_weight_gradient(Tensor& dweight,
                         Tensor& dbias,
                         const Tensor& dy,
                         const Tensor& x,
                         const Context& context);

}  // namespace lockstep
