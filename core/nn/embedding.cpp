#include "core/nn/embedding.hpp"

#include <cmath>
#include <utility>

#include "core/ops/embedding.hpp"

namespace lockstep {
namespace {

// The position of each row.
Tensor position_ids(const BatchView& batch, Device device) {
  Tensor ids = Tensor::empty({batch.B * batch.T}, DType::i32);
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
      const double angle = static_cast<double>(t) / std::pow(10000.0, exponent);
      const double value = c % 2 == 0 ? std::sin(angle) : std::cos(angle);
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
  assert(ids.count() == context.batch.B * context.batch.T);
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

void Embedding::backward_weight(Saved& saved) const {
  if (rows_ == Rows::cut) saved.dx = gather_shards(saved.dx, *tp_, "embedding");
  const auto add_to = [&saved](const Parameter& table, const Tensor& ids, index_t first_row) {
    if (!table.gradient.defined()) return;
    Tensor gradient = table.gradient;
    embedding_backward(gradient, saved.dx, ids, first_row);
  };
  add_to(tables_.token, saved.ids, tables_.first_token);
  add_to(tables_.position, saved.positions, 0);
  add_to(tables_.segment, saved.segments, 0);
  saved = {};
}

}  // namespace lockstep
