// Gradients against fourth-order central differences, in double:
//   df/dx = (f(x-2h) - 8 f(x-h) + 8 f(x+h) - f(x+2h)) / (12 h) + O(h^4).
// The loss of a module is <y, r> for a fixed random r, so that dy = r.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/nn/module.hpp"
#include "core/parameter.hpp"
#include "tests/support/tolerance.hpp"

namespace lockstep::test {

// Largest ||difference|| / ||gradient|| of a right gradient: rounding of the loss over h is about
// 1e-11 of it, and a tensor may carry a thousandth of the gradient.
constexpr double gradient_bound = 1e-6;

struct NamedParameter {
  std::string name;
  Parameter parameter;
};

struct GradientError {
  std::string name;
  double error = 0;
};

struct Checked {
  std::string name;
  Tensor value;     // f64; changed and restored
  Tensor gradient;  // of the loss, as computed
};

// Compares up to most_elements evenly spread elements of each tensor. The norm of the difference is
// taken relative to the norm of those elements, but not to less than a thousandth of the largest of
// the tensors' norms (a key bias has no gradient but rounding).
std::vector<GradientError> gradient_errors(const std::function<double()>& loss,
                                           const std::vector<Checked>& tensors,
                                           index_t most_elements = 48);

double dot(const Tensor& a, const Tensor& b);

// Runs forward, backward_input and backward_weight once, then checks dx and every parameter.
// Gradients start from zero.
template <Module M>
std::vector<GradientError> module_errors(const M& module,
                                         Tensor x,
                                         const std::vector<NamedParameter>& parameters,
                                         const Context& context) {
  typename M::Saved saved;
  const Tensor y = module.forward(x, saved, context);
  const Tensor r = random_tensor(y.shape(), DType::f64, 77);
  std::vector<Checked> tensors;
  for (NamedParameter named : parameters) named.parameter.gradient.fill_zero();
  tensors.push_back({"input", x, module.backward_input(r, saved, context)});
  module.backward_weight(saved, context);
  for (const NamedParameter& named : parameters) {
    tensors.push_back({named.name, named.parameter.value, named.parameter.gradient});
  }
  const auto loss = [&] {
    typename M::Saved dropped;
    return dot(module.forward(x, dropped, context), r);
  };
  return gradient_errors(loss, tensors);
}

}  // namespace lockstep::test
