#include "data/collate.hpp"

#include <algorithm>

namespace lockstep {

Batch collate(const std::vector<Example>& examples,
              index_t T,
              std::int32_t pad_id,
              Objective objective) {
  Batch batch;
  batch.B = static_cast<index_t>(examples.size());
  batch.T = T;
  const auto B = examples.size(), row_size = static_cast<std::size_t>(T);
  std::vector<std::int32_t> tokens(B * row_size, pad_id), segments, lengths, rows, ids, labels;
  std::vector<std::int64_t> samples;
  if (objective != Objective::causal) segments.assign(B * row_size, 0);
  bool padded = objective == Objective::mlm_nsp;
  for (std::size_t b = 0; b < B; ++b) {
    const Example& example = examples[b];
    const auto row = static_cast<std::ptrdiff_t>(b * row_size);
    std::copy(example.tokens.begin(), example.tokens.end(), tokens.begin() + row);
    if (!segments.empty())
      std::copy(example.segments.begin(), example.segments.end(), segments.begin() + row);
    for (std::int32_t position : example.positions)
      rows.push_back(static_cast<std::int32_t>(row) + position);
    ids.insert(ids.end(), example.targets.begin(), example.targets.end());
    lengths.push_back(static_cast<std::int32_t>(example.tokens.size()));
    padded = padded || example.tokens.size() < row_size;
    samples.push_back(example.sample);
    labels.push_back(example.label);
  }
  const auto targets = static_cast<index_t>(rows.size());
  batch.tokens = Tensor::from(tokens, {batch.B * T});
  batch.sample_ids = Tensor::from(samples, {batch.B});
  batch.target_rows = Tensor::from(rows, {targets});
  batch.target_ids = Tensor::from(ids, {targets});
  if (objective != Objective::causal) batch.segments = Tensor::from(segments, {batch.B * T});
  if (padded) batch.lengths = Tensor::from(lengths, {batch.B});
  if (objective == Objective::mlm_nsp) batch.labels = Tensor::from(labels, {batch.B});
  return batch;
}

}  // namespace lockstep
