// What a stage border carries. GPT and BERT use x alone; encoder-decoder and two-stream models need
// the others.
#pragma once

#include <string>
#include <vector>

#include "core/tensor.hpp"

namespace lockstep {

struct Bundle {
  Tensor x;       // (N, C)
  Tensor memory;  // encoder output; undefined for one stack
  Tensor g;       // second stream; undefined for one stream
};

// A border declares its members once, so that receives can be posted before the data is there.
struct TensorSpec {
  std::string name;
  Shape shape;
  DType dtype = DType::f32;
  bool differentiable = true;
  Device device{};  // where it is received
};

}  // namespace lockstep
