// y = x W^T + b.   x (N, C)  W (F, C)  y (N, F).
// Split::output cuts F over tp: a rank reads the whole x and writes its columns of y; dx is a sum.
// Split::input cuts C: a rank reads its columns of x; y is a sum over tp.
// (f and g of Shoeybi et al. 2019, "Megatron-LM".)
// The bias is added after the sum: each rank holds a part of x W^T but all of b.
#pragma once

#include "core/group.hpp"
#include "core/nn/module.hpp"
#include "core/parameter.hpp"

namespace lockstep {

enum class Split { none, output, input };

class Linear {
 public:
  struct Saved {
    Tensor x, dy;
  };

  // weight and bias of this rank; bias may be undefined. tp must outlive the module; what names the
  // sums.
  Linear(Parameter weight, Parameter bias, Split split, Group& tp, const char* what = "layer");

  Tensor forward(const Tensor& x, Saved& saved, const Context& context) const;
  Tensor backward_input(const Tensor& dy, Saved& saved, const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;

 private:
  Parameter weight_, bias_;
  Split split_;
  Group* tp_;
  const char* what_;
};
static_assert(Module<Linear>);

}  // namespace lockstep
