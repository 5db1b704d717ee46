// Element types of tensors and of files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lockstep {

// Counts and indices of elements: signed and 64 bits wide, everywhere.
using index_t = std::int64_t;

// bf16, the upper half of an fp32, is what matrix products may read; nothing is summed in it.
enum class DType { f32, f64, i32, i64, u8, bf16 };

struct Bf16 {
  std::uint16_t bits;
};

constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::u8:
      return 1;
    case DType::bf16:
      return 2;
  }
  return 0;
}

// Of weights, moments, activations, gradients and sums when matrix products read `precision`.
constexpr DType value_type(DType precision) {
  return precision == DType::bf16 ? DType::f32 : precision;
}

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "fp32";
    case DType::f64:
      return "fp64";
    case DType::i32:
      return "int32";
    case DType::i64:
      return "int64";
    case DType::u8:
      return "uint8";
    case DType::bf16:
      return "bf16";
  }
  return "?";
}

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<Bf16> {
  static constexpr DType value = DType::bf16;
};
template <typename T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

}  // namespace lockstep
