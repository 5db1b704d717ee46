#include "parallel/tensor/shard_plan.hpp"

#include <algorithm>

namespace lockstep {
namespace {

// Elements [first, last) of the entry, counted in its local matrix; all in rows [row, row + rows)
// and `columns` wide.
void add_piece(const ParameterStore::Entry& entry,
               index_t first,
               index_t last,
               std::vector<Piece>& pieces) {
  if (first >= last) return;
  const Rectangle& local = entry.rectangle;
  const index_t row = first / local.columns(), column = first % local.columns();
  const bool whole_rows = column == 0 && last % local.columns() == 0;
  const index_t rows = whole_rows ? (last - first) / local.columns() : 1;
  const index_t columns = whole_rows ? local.columns() : last - first;
  Rectangle rectangle{.row0 = local.row0 + row,
                      .row1 = std::min(local.row0 + row + rows, entry.row->canonical_rows()),
                      .col0 = local.col0 + column,
                      .col1 = local.col0 + column + columns};
  if (rectangle.rows() > 0) pieces.push_back({entry.row, rectangle, entry.offset + first});
}

}  // namespace

std::vector<Piece> pieces_of(const ParameterStore::Entry& entry, Span span) {
  const index_t columns = entry.rectangle.columns();
  const index_t first = std::max<index_t>(span.first - entry.offset, 0);
  const index_t last = std::min(span.first + span.count - entry.offset, entry.rectangle.count());
  std::vector<Piece> pieces;
  if (first >= last) return pieces;
  const index_t head = std::min((first + columns - 1) / columns * columns, last);
  const index_t tail = std::max(last / columns * columns, head);
  add_piece(entry, first, head, pieces);
  add_piece(entry, head, tail, pieces);
  add_piece(entry, tail, last, pieces);
  return pieces;
}

std::vector<Piece> pieces_of(const ParameterStore& store, Span span) {
  std::vector<Piece> pieces;
  for (const ParameterStore::Entry& entry : store.entries()) {
    const std::vector<Piece> more = pieces_of(entry, span);
    pieces.insert(pieces.end(), more.begin(), more.end());
  }
  return pieces;
}

Rectangle intersection(const Rectangle& a, const Rectangle& b) {
  Rectangle both{.row0 = std::max(a.row0, b.row0),
                 .row1 = std::min(a.row1, b.row1),
                 .col0 = std::max(a.col0, b.col0),
                 .col1 = std::min(a.col1, b.col1)};
  if (both.row0 >= both.row1 || both.col0 >= both.col1) return {};
  return both;
}

}  // namespace lockstep
