// Weights whose bf16 products on the CPU read them packed, in the order of oneDNN's kernels: one
// copy of each matrix for x W^T and one for dy W. A matrix is packed by the first product that
// reads it, and again by the first after changed().
#pragma once

#include <memory>

#include "core/tensor.hpp"

namespace lockstep {

class PackedWeights {
 public:
  PackedWeights() = default;  // of nothing
  // As long as this lives, products whose second operand lies in flat's buffer read it packed.
  // Nothing is packed of a flat that is undefined, or not bf16 on the CPU. For one thread.
  explicit PackedWeights(const Tensor& flat);

  void changed();

  class Kept;

 private:
  std::shared_ptr<Kept> kept_;
};

}  // namespace lockstep
