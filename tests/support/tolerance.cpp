#include "tests/support/tolerance.hpp"

#include "core/random.hpp"

namespace lockstep::test {
namespace {

index_t position(const Tensor& x, index_t i) {
  return i / x.columns() * x.row_stride() + i % x.columns();
}

}  // namespace

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
