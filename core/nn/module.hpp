// A module: forward, backward_input, backward_weight; no tape. Saved is a plain struct owned by the
// caller, one per microbatch in flight. backward_input may add to Saved what backward_weight needs
// (dy); backward_weight adds (+=) to the parameter gradients and may release what Saved holds.
// Order per microbatch: forward, backward_input, backward_weight.
#pragma once

#include <concepts>

#include "core/nn/context.hpp"
#include "core/tensor.hpp"

namespace lockstep {

template <typename M>
concept Module =
    requires(const M& module, const Tensor& x, typename M::Saved& saved, const Context& context) {
  { module.forward(x, saved, context) } -> std::same_as<Tensor>;
  { module.backward_input(x, saved, context) } -> std::same_as<Tensor>;
  { module.backward_weight(saved, context) } -> std::same_as<void>;
};

}  // namespace lockstep
