// What a graph of cuDNN computes, operation by operation, on the CPU. A tensor is the memory its
// sizes and strides span, in doubles that are rounded to its type when they are stored; nothing
// here knows what a graph is for.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "tests/emulation/include/cudnn_graph.h"

namespace emulation {

using Four = std::array<std::int64_t, 4>;  // batch, head, row, column

struct GraphTensor {
  Four sizes{}, strides{};
  std::int64_t id = 0, alignment = 1;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  bool is_virtual = false, by_value = false;

  std::int64_t span() const;  // elements from the first to the last
};

struct GraphOperation {
  enum class Kind { pointwise, matmul, reduction, reshape };

  Kind kind = Kind::pointwise;
  cudnnPointwiseMode_t mode = CUDNN_POINTWISE_IDENTITY;
  std::int64_t axis = -1;  // of GEN_INDEX
  cudnnReduceTensorOp_t reduction = CUDNN_REDUCE_TENSOR_ADD;
  // x, and what else it reads: b, and t of a selection; b of a product.
  std::shared_ptr<const GraphTensor> x, b, t, y;
  // Sizes of a product, of each batch, as i32; may be null. Rows and columns past them are
  // undefined.
  std::shared_ptr<const GraphTensor> m, n, k;
};

// Why an operation is not to be had; null when it is.
const char* why_not(const GraphOperation& operation);

// In order. pointers: of what is not virtual, by id; numbers by value are already read from there.
void execute(const std::vector<GraphOperation>& operations,
             const std::map<std::int64_t, void*>& pointers,
             const std::map<std::int64_t, double>& numbers);

}  // namespace emulation
