#include "tests/support/gradcheck.hpp"

#include <algorithm>
#include <cmath>

namespace lockstep::test {
namespace {

constexpr double step = 1e-4;

double derivative(const std::function<double()>& loss, Tensor x, index_t i) {
  const double value = value_at(x, i);
  const auto at = [&](double offset) {
    set_value(x, i, value + offset);
    return loss();
  };
  const double far = at(-2 * step) - at(2 * step), near = at(step) - at(-step);
  set_value(x, i, value);
  return (far + 8 * near) / (12 * step);
}

}  // namespace

double dot(const Tensor& a, const Tensor& b) {
  assert(a.count() == b.count());
  double sum = 0;
  for (index_t i = 0; i < a.count(); ++i) sum += value_at(a, i) * value_at(b, i);
  return sum;
}

std::vector<GradientError> gradient_errors(const std::function<double()>& loss,
                                           const std::vector<Checked>& tensors,
                                           index_t most_elements) {
  std::vector<double> differences, norms;
  for (const Checked& tensor : tensors) {
    assert(tensor.gradient.defined() && tensor.gradient.count() == tensor.value.count());
    const index_t count = tensor.value.count(), samples = std::min(count, most_elements);
    double difference = 0, norm = 0;
    for (index_t sample = 0; sample < samples; ++sample) {
      const index_t i = sample * count / samples;
      const double expected = derivative(loss, tensor.value, i);
      const double error = value_at(tensor.gradient, i) - expected;
      difference += error * error;
      norm += expected * expected;
    }
    differences.push_back(std::sqrt(difference));
    norms.push_back(std::sqrt(norm));
  }
  const double floor = 1e-3 * *std::max_element(norms.begin(), norms.end());
  std::vector<GradientError> errors;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    errors.push_back({tensors[i].name, differences[i] / std::max(norms[i], floor)});
  }
  return errors;
}

}  // namespace lockstep::test
