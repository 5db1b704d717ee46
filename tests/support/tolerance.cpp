#include "tests/support/tolerance.hpp"

#include <bit>

#include "core/random.hpp"

namespace lockstep::test {
namespace {

index_t position(const Tensor& x, index_t i) {
  return i / x.columns() * x.row_stride() + i % x.columns();
}

}  // namespace

// Some 1e5 roundings, ill-conditioned where a normalisation divides by a small deviation. Measured:
// fp64 below 1e-12, fp32 below 6e-6 on all gold files. bf16 rounds each operand of a product by up
// to 2^-9 and a gradient passes some tens of products one after another: measured below 2.8e-2 of
// gradients and weights; of losses, means over many tokens, below 7.3e-3.
double oracle_tolerance(DType precision) {
  if (precision == DType::bf16) return 4e-2;
  return precision == DType::f64 ? 1e-9 : 1e-5;
}

double oracle_loss_tolerance(DType precision) {
  return precision == DType::bf16 ? 1e-2 : oracle_tolerance(precision);
}

double value_at(const Tensor& x, index_t i) {
  const index_t at = position(x, i);
  switch (x.dtype()) {
    case DType::f32:
      return static_cast<double>(x.data<float>()[at]);
    case DType::f64:
      return x.data<double>()[at];
    case DType::i32:
      return static_cast<double>(x.data<std::int32_t>()[at]);
    case DType::i64:
      return static_cast<double>(x.data<std::int64_t>()[at]);
    case DType::bf16:
      return static_cast<double>(
          std::bit_cast<float>(static_cast<std::uint32_t>(x.data<Bf16>()[at].bits) << 16));
    case DType::u8:
      return static_cast<double>(x.data<std::uint8_t>()[at]);
  }
  return 0;
}

void set_value(Tensor& x, index_t i, double value) {
  const index_t at = position(x, i);
  if (x.dtype() == DType::f32) {
    x.data<float>()[at] = static_cast<float>(value);
  } else {
    x.data<double>()[at] = value;
  }
}

double relative_error(const Tensor& a, const Tensor& b) {
  assert(a.count() == b.count());
  double difference = 0, norm = 0;
  for (index_t i = 0; i < a.count(); ++i) {
    const double x = value_at(a, i), y = value_at(b, i);
    difference += (x - y) * (x - y);
    norm += y * y;
  }
  return difference == 0 ? 0 : std::sqrt(difference / (norm == 0 ? 1 : norm));
}

Tensor random_tensor(Shape shape, DType dtype, std::uint64_t seed) {
  Tensor x = Tensor::empty(shape, dtype);
  for (index_t i = 0; i < x.count(); ++i) {
    const std::uint64_t bits = mix(seed, static_cast<std::uint64_t>(i));
    set_value(x, i, static_cast<double>(bits >> 11) * 0x1p-52 - 1.0);
  }
  return x;
}

}  // namespace lockstep::test
