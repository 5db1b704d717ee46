// The packed matrices of core/ops/packed_weights.hpp.
#pragma once

#include <compare>
#include <map>
#include <memory>
#include <optional>

#include <dnnl.hpp>

#include "core/ops/gemm.hpp"
#include "core/ops/packed_weights.hpp"

namespace lockstep {

// Of the matrices in one buffer.
class PackedWeights::Kept {
 public:
  struct Matrix {
    dnnl::memory::desc layout;
    Tensor bytes;
  };

  explicit Kept(const Tensor& flat);
  ~Kept();
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;

  void changed() { ++version_; }
  // op(b) (K, N), packed of the values as they are now; none when oneDNN reads b as it is.
  const Matrix* packed(const Tensor& b, Transpose transpose);

 private:
  struct Key {
    const Bf16* first = nullptr;
    index_t K = 0, N = 0, row = 0, column = 0;  // strides

    auto operator<=>(const Key&) const = default;
  };
  struct Copy {
    Matrix matrix;  // bytes undefined: read as it is
    dnnl::reorder pack;
    dnnl::memory from, to;
    std::uint64_t version = 0;
  };

  static Copy make(const Key& key);

  Tensor flat_;
  std::map<Key, Copy> copies_;
  std::uint64_t version_ = 1;
};

namespace cpu {

// Of b in a buffer whose matrices are kept packed; null for others.
const PackedWeights::Kept::Matrix* packed_weight(const Tensor& b, Transpose transpose);

}  // namespace cpu
}  // namespace lockstep
