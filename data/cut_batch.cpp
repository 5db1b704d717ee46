#include "data/cut_batch.hpp"

#include <cassert>
#include <vector>

namespace lockstep {
namespace {

// The rows of the whole batch that this rank holds, in its order.
std::vector<index_t> rows_of(const Batch& whole, SequenceCut cut) {
  const index_t T = whole.T / cut.size, S = cut.chunk_length(T);
  std::vector<index_t> rows;
  for (int i = 0; i < cut.num_chunks(); ++i) {
    for (index_t b = 0; b < whole.B; ++b) {
      for (index_t s = 0; s < S; ++s) {
        rows.push_back(b * whole.T + cut.first_position(i, T) + s);
      }
    }
  }
  return rows;
}

Tensor picked(const Tensor& x, const std::vector<index_t>& rows) {
  if (!x.defined()) return {};
  Tensor y = Tensor::empty({static_cast<index_t>(rows.size())}, DType::i32);
  for (std::size_t i = 0; i < rows.size(); ++i)
    y.data<std::int32_t>()[i] = x.data<std::int32_t>()[rows[i]];
  return y;
}

}  // namespace

Batch cut_batch(const Batch& whole, SequenceCut cut) {
  if (cut.size == 1) return whole;
  assert(whole.T % (2 * cut.size) == 0);
  const std::vector<index_t> rows = rows_of(whole, cut);
  std::vector<std::int32_t> target_at(static_cast<std::size_t>(whole.B * whole.T), -1);
  for (index_t i = 0; i < whole.target_rows.count(); ++i) {
    target_at[static_cast<std::size_t>(whole.target_rows.data<std::int32_t>()[i])] =
        static_cast<std::int32_t>(i);
  }
  std::vector<std::int32_t> target_rows, target_ids;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::int32_t target = target_at[static_cast<std::size_t>(rows[row])];
    if (target < 0) continue;
    target_rows.push_back(static_cast<std::int32_t>(row));
    target_ids.push_back(whole.target_ids.data<std::int32_t>()[target]);
  }
  const auto n = static_cast<index_t>(target_rows.size());
  Batch part;
  part.B = whole.B;
  part.T = whole.T / cut.size;
  part.tokens = picked(whole.tokens, rows);
  part.segments = picked(whole.segments, rows);
  part.lengths = whole.lengths;
  part.sample_ids = whole.sample_ids;
  part.target_rows = Tensor::from(target_rows, {n});
  part.target_ids = Tensor::from(target_ids, {n});
  part.labels = whole.labels;
  if (whole.labels.defined() && cut.rank != 0) part.labels = Tensor::empty({0}, DType::i32);
  part.cut = cut;
  return part;
}

}  // namespace lockstep
