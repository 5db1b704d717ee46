// How products go to oneDNN: a rectangle of c per thread, each one call. oneDNN given a team would
// cut K when c is small, and pack the same operand for several threads in turn.
#pragma once

#include <dnnl.hpp>

#include "core/dtype.hpp"

namespace lockstep::cpu {

// Before the first call: limits oneDNN to the instruction set in use and keeps what it frees.
void prepare_onednn();

const dnnl::engine& onednn_engine();  // the CPU
dnnl::matmul::primitive_desc matmul_description(const dnnl::memory::desc& a,
                                                const dnnl::memory::desc& b,
                                                const dnnl::memory::desc& c,
                                                const dnnl::primitive_attr& attributes);

// Indices [first, first + count).
struct Part {
  index_t first = 0, count = 0;
};

// c (M, N), sums over K, cut over as many threads as the work keeps busy, at multiples of `unit`
// rows and columns.
class ProductGrid {
 public:
  ProductGrid(index_t M, index_t N, index_t K, index_t unit);
  // Rectangles as wide as c.
  static ProductGrid by_rows(index_t M, index_t N, index_t K, index_t unit);

  struct Piece {
    Part rows, columns;  // of c; may be empty
  };
  int team() const { return rows_ * columns_; }
  Piece piece(int thread) const;

 private:
  ProductGrid(index_t M, index_t N, index_t unit, int rows, int columns)
      : M_(M), N_(N), unit_(unit), rows_(rows), columns_(columns) {}

  index_t M_, N_, unit_;
  int rows_, columns_;  // rectangles
};

}  // namespace lockstep::cpu
