// How products go to oneDNN: a rectangle of c per thread, each one call. oneDNN given a team would
// cut K when c is small, and pack the same operand for several threads in turn.
#pragma once

#include "core/dtype.hpp"

namespace lockstep::cpu {

// Before the first call: limits oneDNN to the instruction set in use and keeps what it frees.
void prepare_onednn();

// Indices [first, first + count).
struct Part {
  index_t first = 0, count = 0;
};

// c (M, N), sums over K, cut over as many threads as the work keeps busy, at multiples of `unit`
// rows and columns.
class ProductGrid {
 public:
  ProductGrid(index_t M, index_t N, index_t K, index_t unit);

  struct Piece {
    Part rows, columns;  // of c; may be empty
  };
  int team() const { return rows_ * columns_; }
  Piece piece(int thread) const;

 private:
  index_t M_, N_, unit_;
  int rows_ = 1, columns_ = 1;  // rectangles
};

}  // namespace lockstep::cpu
