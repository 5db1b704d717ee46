#include "parallel/mpi/combine.hpp"

#include <cmath>
#include <type_traits>

#include "core/error.hpp"

namespace lockstep::mpi {
namespace {

template <typename T>
bool is_nan(T x) {
  if constexpr (std::is_floating_point_v<T>) return std::isnan(x);
  return false;
}

// Integers wrap: what pads unequal spans holds anything.
template <typename T>
T sum_of(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
  } else {
    return a + b;
  }
}

// A NaN already in `into` fails both comparisons and stays.
template <typename T>
void combine_as(Tensor& into, const Tensor& x, Reduce reduce) {
  T* a = into.data<T>();
  const T* b = x.data<T>();
  const index_t n = into.count();
  switch (reduce) {
    case Reduce::sum:
      for (index_t i = 0; i < n; ++i) a[i] = sum_of(a[i], b[i]);
      return;
    case Reduce::max:
      for (index_t i = 0; i < n; ++i) a[i] = a[i] < b[i] || is_nan(b[i]) ? b[i] : a[i];
      return;
    case Reduce::min:
      for (index_t i = 0; i < n; ++i) a[i] = b[i] < a[i] || is_nan(b[i]) ? b[i] : a[i];
      return;
  }
}

}  // namespace

void combine(Tensor& into, const Tensor& x, Reduce reduce) {
  switch (into.dtype()) {
    case DType::f32:
      return combine_as<float>(into, x, reduce);
    case DType::f64:
      return combine_as<double>(into, x, reduce);
    case DType::i32:
      return combine_as<std::int32_t>(into, x, reduce);
    case DType::i64:
      return combine_as<std::int64_t>(into, x, reduce);
    case DType::u8:
    case DType::bf16:
      fail(name_of(into.dtype()), " elements have no sum over ranks");
  }
}

}  // namespace lockstep::mpi
