#include <cmath>

#include "core/ops/cuda/adamw.hpp"
#include "core/ops/cuda/map.cuh"

namespace lockstep::cuda {
namespace {

// Worked out in double and rounded once, as on the CPU.
struct Constants {
  float keep, rate, beta1, one_minus_beta1, beta2, one_minus_beta2, inverse_correction1,
      inverse_correction2, epsilon, scale;
};

template <int W>
struct Step {
  float *value, *m, *v;
  const float* gradient;
  Constants c;

  __device__ void operator()(index_t, index_t first) const {
    const auto gradients = load<float, W>(gradient + first);
    auto values = load<float, W>(value + first), firsts = load<float, W>(m + first),
         seconds = load<float, W>(v + first);
    for (int w = 0; w < W; ++w) {
      const float g = c.scale * gradients.at[w];
      const float m_new = c.beta1 * firsts.at[w] + c.one_minus_beta1 * g;
      const float v_new = c.beta2 * seconds.at[w] + c.one_minus_beta2 * (g * g);
      const float root = sqrtf(v_new * c.inverse_correction2);
      values.at[w] =
          values.at[w] * c.keep - c.rate * ((m_new * c.inverse_correction1) / (root + c.epsilon));
      firsts.at[w] = m_new;
      seconds.at[w] = v_new;
    }
    store<float, W>(value + first, values);
    store<float, W>(m + first, firsts);
    store<float, W>(v + first, seconds);
  }
};

}  // namespace

void adamw(Tensor& value, Tensor& m, Tensor& v, const Tensor& gradient, const AdamWStep& step) {
  const auto t = static_cast<double>(step.t);
  const Constants constants = {
      .keep = static_cast<float>(1.0 - step.rate * step.decay),
      .rate = static_cast<float>(step.rate),
      .beta1 = static_cast<float>(step.beta1),
      .one_minus_beta1 = static_cast<float>(1.0 - step.beta1),
      .beta2 = static_cast<float>(step.beta2),
      .one_minus_beta2 = static_cast<float>(1.0 - step.beta2),
      .inverse_correction1 = static_cast<float>(1.0 / (1.0 - std::pow(step.beta1, t))),
      .inverse_correction2 = static_cast<float>(1.0 / (1.0 - std::pow(step.beta2, t))),
      .epsilon = static_cast<float>(step.epsilon),
      .scale = static_cast<float>(step.scale)};
  with_width<float>(
      [&](auto width) {
        constexpr int W = decltype(width)::value;
        map(Runtime::of(value.device()), {1, value.count()}, W,
            Step<W>{value.data<float>(), m.data<float>(), v.data<float>(), gradient.data<float>(),
                    constants});
      },
      value, m, v, gradient);
}

}  // namespace lockstep::cuda
