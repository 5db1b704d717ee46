// Products of matrices by cuBLASLt. Algorithms are chosen once per shape and kept.
#pragma once

#include <array>
#include <cstdint>
#include <map>

#include <cublasLt.h>

#include "core/tensor.hpp"

namespace lockstep::cuda {

class Runtime;

// What is done beside the product, in fp32. add_vector: `vector`, one number per column of the
// tensor out, is added to each of its rows. sum_right: `vector`, as long, becomes the sums of
// op(right) over the inner size. gelu: `beside` becomes the product, with `vector` as in add_vector
// where it is defined, and out its tanh GELU. gelu_gradient: out is the product times the slope of
// the tanh GELU at `beside`.
enum class Epilogue { none, add_vector, sum_right, gelu, gelu_gradient };

// Seen by columns, as cuBLASLt does (a row-major tensor (r, c) is a matrix of c rows and r
// columns): out = or += op(left) op(right). left and right are f32, or both bf16 with sums in f32;
// out, vector and beside, which has the shape of out, are f32.
struct Matmul {
  Tensor& out;
  const Tensor& left;
  bool left_transposed = false;
  const Tensor& right;
  bool right_transposed = false;
  bool accumulate = false;
  Epilogue epilogue = Epilogue::none;
  Tensor vector = {};
  Tensor beside = {};
};

// False, and nothing is done, where the library has no algorithm for this epilogue.
bool matmul(const Matmul& product);

// The algorithm of each shape met so far.
class MatmulPlans {
 public:
  // What an algorithm depends on: dtypes, TF32, sizes, strides, transposes, epilogue, alignments.
  using Key = std::array<std::int64_t, 20>;

  struct Plan {
    bool possible = false;
    bool timed = false;
    cublasLtMatmulAlgo_t algorithm{};
  };

  // Shapes that come a second time are timed: the best of several algorithms is kept instead of the
  // library's first guess. Ranks that must get equal bits from equal inputs must not time: the
  // clock may choose differently on each.
  void set_timing(bool timing) { timing_ = timing; }
  bool timing() const { return timing_; }
  // What products of f32 read.
  void set_tf32(bool tf32) { tf32_ = tf32; }
  bool tf32() const { return tf32_; }

  Plan* find(const Key& key) {
    const auto found = plans_.find(key);
    return found == plans_.end() ? nullptr : &found->second;
  }
  Plan& keep(const Key& key, const Plan& plan) { return plans_.emplace(key, plan).first->second; }

 private:
  std::map<Key, Plan> plans_;
  bool timing_ = false, tf32_ = false;
};

}  // namespace lockstep::cuda
