// Dropout of a site over the rows this rank holds of a microbatch, whichever they are: with
// sequences cut over cp or rows over tp the masks are those of the whole. Identity in evaluation.
#pragma once

#include <algorithm>
#include <cassert>

#include "core/nn/context.hpp"
#include "core/ops/dropout.hpp"

namespace lockstep {

struct DropoutSite {
  Site::Op op;
  double probability = 0;
};

// f(first row, number of rows, spec) for each run of this rank's rows whose positions follow one
// rule: one a chunk of the sequence cut, or one a sample. One run of all rows when nothing is
// dropped.
template <typename F>
void for_dropout_runs(index_t rows, DropoutSite site, const Context& context, F&& f) {
  if (!context.training || site.probability == 0) return f(0, rows, DropoutSpec{});
  const BatchView& batch = context.batch;
  const index_t S = batch.cut.chunk_length(batch.T), first = context.shard.rank * rows;
  assert(rows * context.shard.size == batch.rows());
  // A run is `count` rows from row `begin` of the microbatch, as far as they lie in this shard.
  const auto run = [&](index_t begin, index_t count, const Tensor& samples, index_t length,
                       index_t first_position) {
    const index_t from = std::max(first, begin), to = std::min(first + rows, begin + count);
    if (from >= to) return;
    f(from - first, to - from,
      DropoutSpec{site.probability, context.dropout_key(site.op), samples, length, from - begin,
                  first_position});
  };
  if (batch.row_starts.defined()) {
    for (index_t b = 0; b < batch.B; ++b) {
      const index_t count = batch.first_row(b + 1) - batch.first_row(b);
      run(batch.first_row(b), count, batch.sample_ids.range(b, 1), count, 0);
    }
    return;
  }
  for (int i = 0; i < batch.cut.num_chunks(); ++i) {
    run(i * batch.B * S, batch.B * S, batch.sample_ids, S, batch.cut.first_position(i, batch.T));
  }
}

// y = dropped x.   x, y (N, C); y may be x.
void dropout_forward(Tensor& y, const Tensor& x, DropoutSite site, const Context& context);
// dx = dy dropped in the same places; dx may be dy.
void dropout_backward(Tensor& dx, const Tensor& dy, DropoutSite site, const Context& context);

}  // namespace lockstep
