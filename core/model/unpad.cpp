#include "core/model/unpad.hpp"

#include <algorithm>
#include <cassert>
#include <vector>

namespace lockstep {
namespace {

// Where each sample's rows begin, and the end.
std::vector<std::int64_t> starts_of(const Batch& padded, index_t multiple) {
  const std::int32_t* lengths = padded.lengths.data<std::int32_t>();
  index_t rows = 0;
  for (index_t b = 0; b < padded.B; ++b) rows += lengths[b];
  index_t more = (multiple - rows % multiple) % multiple;
  std::vector<std::int64_t> starts{0};
  for (index_t b = 0; b < padded.B; ++b) {
    const index_t added = std::min(more, padded.T - lengths[b]);
    starts.push_back(starts.back() + lengths[b] + added);
    more -= added;
  }
  assert(more == 0);
  return starts;
}

}  // namespace

Batch unpad(const Batch& padded, index_t multiple) {
  assert(padded.cut.size == 1 && !padded.row_starts.defined() && padded.T % multiple == 0);
  if (!padded.lengths.defined()) return padded;
  const std::vector<std::int64_t> starts = starts_of(padded, multiple);
  if (starts.back() == padded.B * padded.T) return padded;
  Batch batch = padded;
  batch.row_starts = Tensor::from(starts, {padded.B + 1});
  const auto packed = [&](const Tensor& x) {
    if (!x.defined()) return Tensor{};
    Tensor y = Tensor::empty({starts.back()}, DType::i32);
    for (index_t b = 0; b < padded.B; ++b) {
      const auto at = static_cast<std::size_t>(b);
      std::copy_n(x.data<std::int32_t>() + b * padded.T, starts[at + 1] - starts[at],
                  y.data<std::int32_t>() + starts[at]);
    }
    return y;
  };
  batch.tokens = packed(padded.tokens);
  batch.segments = packed(padded.segments);
  batch.target_rows = padded.target_rows.clone();
  for (index_t i = 0; i < batch.target_rows.count(); ++i) {
    std::int32_t& row = batch.target_rows.data<std::int32_t>()[i];
    const index_t b = row / padded.T;
    row = static_cast<std::int32_t>(starts[static_cast<std::size_t>(b)] + row % padded.T);
  }
  return batch;
}

}  // namespace lockstep
