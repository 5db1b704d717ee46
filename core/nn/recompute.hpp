// A module that keeps only its input and runs its forward pass again inside backward_input (Chen et
// al. 2016, "Training deep nets with sublinear memory cost"): the same counters and kernels, so the
// same bits. Loss terms are not added twice (context.recomputing).
#pragma once

#include <utility>

#include "core/footprint.hpp"
#include "core/nn/module.hpp"

namespace lockstep {

template <typename M>
class Recomputed {
 public:
  struct Saved {
    Tensor x;
    typename M::Saved inner;  // filled from backward_input to backward_weight only

    void add_to(Footprint& footprint) const { footprint.add(x, inner); }
  };

  explicit Recomputed(M module) : module_(std::move(module)) {}

  Tensor forward(const Tensor& x, Saved& saved, const Context& context) const {
    saved.x = x;
    typename M::Saved dropped;
    return module_.forward(x, dropped, context);
  }

  Tensor backward_input(const Tensor& dy, Saved& saved, const Context& context) const {
    Context again = context;
    again.recomputing = true;
    module_.forward(saved.x, saved.inner, again);
    saved.x = {};
    return module_.backward_input(dy, saved.inner, context);
  }

  void backward_weight(Saved& saved, const Context& context) const {
    module_.backward_weight(saved.inner, context);
  }

 private:
  M module_;
};

}  // namespace lockstep
