#include "core/footprint.hpp"

#include <algorithm>

namespace lockstep {

void Footprint::add_one(const Tensor& x) {
  if (x.defined()) buffers_.emplace_back(x.buffer(), x.buffer_bytes());
}

std::size_t Footprint::bytes() const {
  auto buffers = buffers_;
  std::sort(buffers.begin(), buffers.end());
  buffers.erase(std::unique(buffers.begin(), buffers.end()), buffers.end());
  std::size_t bytes = 0;
  for (const auto& buffer : buffers) bytes += buffer.second;
  return bytes;
}

}  // namespace lockstep
