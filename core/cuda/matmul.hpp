// Products of matrices by cuBLASLt. Algorithms are chosen once per shape and kept.
#pragma once

#include <array>
#include <cstdint>
#include <map>

#include <cublasLt.h>

#include "core/tensor.hpp"

namespace lockstep::cuda {

class Runtime;

// Seen by columns, as cuBLASLt does (a row-major tensor (r, c) is a matrix of c rows and r
// columns): out = or += op(left) op(right), plus bias (one per column of the tensor out) when it is
// defined. left and right are f32, or both bf16 with sums in f32; out is f32.
struct Matmul {
  Tensor& out;
  const Tensor& left;
  bool left_transposed = false;
  const Tensor& right;
  bool right_transposed = false;
  bool accumulate = false;
  const Tensor& bias;
};

void matmul(const Matmul& product);

// The algorithm of each shape met so far.
class MatmulPlans {
 public:
  // What an algorithm depends on: dtypes, sizes, strides, transposes, epilogue, alignments.
  using Key = std::array<std::int64_t, 16>;

  // Later shapes are timed: the best of several algorithms is kept instead of the library's first
  // guess. Ranks that must get equal bits from equal inputs must not time: the clock may choose
  // differently on each.
  void set_timing(bool timing) { timing_ = timing; }
  bool timing() const { return timing_; }

  const cublasLtMatmulAlgo_t* find(const Key& key) const {
    const auto found = algorithms_.find(key);
    return found == algorithms_.end() ? nullptr : &found->second;
  }
  const cublasLtMatmulAlgo_t& keep(const Key& key, const cublasLtMatmulAlgo_t& algorithm) {
    return algorithms_.emplace(key, algorithm).first->second;
  }

 private:
  std::map<Key, cublasLtMatmulAlgo_t> algorithms_;
  bool timing_ = false;
};

}  // namespace lockstep::cuda
