// Where the parts of a rank's flat buffer lie in the canonical parameters. A span [a, b) of the
// buffer cuts the local matrix (rows x columns) of each parameter it meets into at most three
// rectangles: the rest of a row, whole rows, the start of a row. Each of them is contiguous in the
// buffer, row by row, so a Piece is a rectangle of the canonical matrix and one offset. Padding
// rows (of the vocabulary) belong to no piece.
#pragma once

#include <string>
#include <vector>

#include "core/group.hpp"
#include "core/model/parameter_table.hpp"

namespace lockstep {

struct Piece {
  const ParameterRow* row = nullptr;
  Rectangle rectangle;  // of the canonical matrix
  index_t offset = 0;   // of its first element in the flat buffer
};

// The pieces of `span` (of the flat buffer) that lie in this entry; of all entries of a store, in
// buffer order.
std::vector<Piece> pieces_of(const ParameterStore::Entry& entry, Span span);
std::vector<Piece> pieces_of(const ParameterStore& store, Span span);

// What two rectangles share; count() is 0 when they share nothing.
Rectangle intersection(const Rectangle& a, const Rectangle& b);

}  // namespace lockstep
