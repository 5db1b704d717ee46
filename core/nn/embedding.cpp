#include "core/nn/embedding.hpp"

#include <numeric>
#include <utility>

#include "core/nn/ordered_rows.hpp"
#include "core/ops/embedding.hpp"
#include "core/ops/fixed_sums.hpp"
#include "core/portable_math.hpp"

namespace lockstep {
namespace {

// The position of each row.
Tensor position_ids(const BatchView& batch, Device device) {
  Tensor ids = Tensor::empty({batch.rows()}, DType::i32);
  if (batch.row_starts.defined()) {
    for (index_t b = 0; b < batch.B; ++b) {
      std::int32_t* to = ids.data<std::int32_t>();
      std::iota(to + batch.first_row(b), to + batch.first_row(b + 1), 0);
    }
    return ids.to(device);
  }
  const index_t S = batch.cut.chunk_length(batch.T), rows = batch.B * S;
  for (int i = 0; i < batch.cut.num_chunks(); ++i) {
    const index_t first = batch.cut.first_position(i, batch.T);
    for (index_t row = 0; row < rows; ++row) {
      ids.data<std::int32_t>()[i * rows + row] = static_cast<std::int32_t>(first + row % S);
    }
  }
  return ids.to(device);
}

}  // namespace

Tensor sinusoidal_positions(index_t num_positions, index_t C, DType dtype) {
  Tensor table = Tensor::empty({num_positions, C}, dtype);
  for (index_t t = 0; t < num_positions; ++t) {
    for (index_t c = 0; c < C; ++c) {
      const double exponent = static_cast<double>(c - c % 2) / static_cast<double>(C);
      // In turns of the circle: (t / 10000^exponent) / (2 pi), 9.21... = ln 10000.
      const double turns = static_cast<double>(t) * exponential(-exponent * 9.2103403719761827361) *
                           0.15915494309189533577;
      const double value = cos_sin_turn(turns)[c % 2 == 0 ? 1 : 0];
      if (dtype == DType::f64) {
        table.data<double>()[t * C + c] = value;
      } else {
        table.data<float>()[t * C + c] = static_cast<float>(value);
      }
    }
  }
  return table;
}

Embedding::Embedding(Tables tables, Group& tp, Rows rows)
    : tables_(std::move(tables)), tp_(&tp), rows_(rows) {
  assert(tables_.token.defined() && tables_.position.defined());
}

Tensor Embedding::forward(const Tensor& ids,
                          const Tensor& segments,
                          Saved& saved,
                          const Context& context) const {
  const Tensor& token = tables_.token.value;
  assert(ids.count() == context.batch.rows());
  assert(context.batch.T * context.batch.cut.size <= tables_.position.value.rows());
  saved.ids = ids;
  saved.positions = position_ids(context.batch, ids.device());

  Tensor x = Tensor::empty({ids.count(), token.columns()}, token.dtype(), token.device());
  embedding_forward(x, ids, token, tables_.first_token, Accumulate::no);
  // Summed before positions and segments are added: those are whole on every rank.
  Span own{0, x.rows()};
  if (rows_ == Rows::cut) {
    own = span_of(x.rows(), tp_->rank(), tp_->size());
    x = sum_to_shards(std::move(x), *tp_, "embedding");
  } else {
    tp_->all_reduce(x, Reduce::sum, "embedding");
  }
  embedding_forward(x, saved.positions.range(own.first, own.count), tables_.position.value, 0,
                    Accumulate::yes);
  if (tables_.segment.defined()) {
    saved.segments =
        segments.defined() ? segments : Tensor::zeros({ids.count()}, DType::i32, ids.device());
    embedding_forward(x, saved.segments.range(own.first, own.count), tables_.segment.value, 0,
                      Accumulate::yes);
  }
  return x;
}

void Embedding::backward_input(const Tensor& dx, Saved& saved) const { saved.dx = dx; }

void Embedding::backward_weight(Saved& saved, const Context& context) const {
  if (rows_ == Rows::cut) saved.dx = gather_shards(saved.dx, *tp_, "embedding");
  if (context.sums.fixed) {
    add_fixed_gradients(saved, context);
  } else {
    add_gradients(saved);
  }
  saved = {};
}

void Embedding::add_gradients(const Saved& saved) const {
  const auto add_to = [&](const Parameter& table, const Tensor& ids, index_t first_row) {
    if (!table.gradient.defined()) return;
    Tensor gradient = table.gradient;
    embedding_backward(gradient, saved.dx, ids, first_row);
  };
  add_to(tables_.token, saved.ids, tables_.first_token);
  add_to(tables_.position, saved.positions, 0);
  add_to(tables_.segment, saved.segments, 0);
}

void Embedding::add_fixed_gradients(const Saved& saved, const Context& context) const {
  const OrderedRows rows(context);
  const Span own = rows.own(saved.dx.columns());
  const Tensor dx = rows.whole(saved.dx).column_range(own.first, own.count);
  const auto add_to = [&](const Parameter& table, const Tensor& ids, index_t first_row) {
    if (!table.gradient.defined()) return;
    const Tensor all_ids = rows.whole(ids.reshape({ids.count(), 1}));
    if (own.count == 0) return;
    Tensor gradient = table.gradient.column_range(own.first, own.count);
    fixed_embedding_sums(gradient, dx, all_ids.reshape({all_ids.count()}), first_row, rows.order());
  };
  add_to(tables_.token, saved.ids, tables_.first_token);
  add_to(tables_.position, saved.positions, 0);
  add_to(tables_.segment, saved.segments, 0);
}

}  // namespace lockstep
