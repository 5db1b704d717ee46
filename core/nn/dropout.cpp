#include "core/nn/dropout.hpp"

#include <algorithm>
#include <cassert>

namespace lockstep {
namespace {

// f(first row of this rank, number of rows, spec) for each run of rows whose positions follow one
// rule: one a chunk of the sequence cut, or one a sample, as far as it lies in this rank's shard.
template <typename F>
void for_runs(index_t rows, DropoutSite site, const Context& context, F&& f) {
  const BatchView& batch = context.batch;
  const index_t S = batch.cut.chunk_length(batch.T), first = context.shard.rank * rows;
  assert(rows * context.shard.size == batch.rows());
  // A run is `count` rows from row `begin` of the microbatch.
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

bool drops(DropoutSite site, const Context& context) {
  return context.training && site.probability > 0;
}

}  // namespace

void dropout_forward(Tensor& y,
                     const Tensor& x,
                     const Tensor& residual,
                     DropoutSite site,
                     const Context& context) {
  if (!drops(site, context)) return dropout_forward(y, x, residual, DropoutSpec{});
  for_runs(x.rows(), site, context, [&](index_t first, index_t rows, const DropoutSpec& spec) {
    Tensor to = y.range(first, rows);
    dropout_forward(to, x.range(first, rows),
                    residual.defined() ? residual.range(first, rows) : Tensor{}, spec);
  });
}

void dropout_backward(Tensor& dx, const Tensor& dy, DropoutSite site, const Context& context) {
  if (!drops(site, context)) return dropout_backward(dx, dy, DropoutSpec{});
  for_runs(dy.rows(), site, context, [&](index_t first, index_t rows, const DropoutSpec& spec) {
    Tensor to = dx.range(first, rows);
    dropout_backward(to, dy.range(first, rows), spec);
  });
}

}  // namespace lockstep
