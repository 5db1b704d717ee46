// What data/ hands to a model: one microbatch. The only type that data and parallel share. Unused
// members are undefined.
#pragma once

#include <vector>

#include "core/nn/context.hpp"
#include "core/tensor.hpp"

namespace lockstep {

struct Batch {
  index_t B = 0, T = 0;  // T: positions of each sample on this rank, at most
  Tensor tokens;         // (N) i32, N = B*T unless row_starts says otherwise
  Tensor segments;       // (N) i32; BERT
  Tensor lengths;        // (B) i32 real tokens of the whole sample, then padding; undefined: none
  Tensor sample_ids;     // (B) i64 global sample numbers: what dropout is keyed by
  // Predicted positions, ascending: row of the microbatch (uncut and padded: b*T+t) and the id that
  // stands there (causal: the next token).
  Tensor target_rows;  // (n) i32
  Tensor target_ids;   // (n) i32
  Tensor labels;       // (B) i32; NSP: 0 = B follows A, 1 = random; (0) where position 0 is not
  SequenceCut cut;     // cp: which positions these are, and how rows are ordered
  Tensor row_starts;   // (B + 1) i64 in host memory, see BatchView; undefined: b T

  BatchView view() const { return {B, T, lengths, sample_ids, cut, row_starts}; }
  index_t rows() const { return view().rows(); }  // N

  // The same with its tensors on the device.
  Batch to(Device device) const {
    Batch batch = *this;
    for (Tensor* tensor : {&batch.tokens, &batch.segments, &batch.lengths, &batch.sample_ids,
                           &batch.target_rows, &batch.target_ids, &batch.labels}) {
      *tensor = tensor->to(device);
    }
    return batch;
  }
};

// One optimizer step on one data-parallel rank: its microbatches in order, cut from the global
// batch as contiguous slots (rank r of d takes samples [r/d, (r+1)/d) of the step, microbatch m the
// m-th run of them).
struct StepBatch {
  std::vector<Batch> microbatches;
};

}  // namespace lockstep
