// How context parallelism cuts a sequence: the size T positions of each sample are 2 size chunks of
// equal length, of which a rank holds number `rank` and its mirror image 2 size - 1 - rank, so that
// causal attention is the same work for all. A rank's rows are the former chunk of all samples, row
// b S + s, then the latter; S positions a chunk. Uncut: one chunk of S = T.
#pragma once

#include "core/shape.hpp"

namespace lockstep {

struct SequenceCut {
  int rank = 0, size = 1;

  int num_chunks() const { return size == 1 ? 1 : 2; }  // of this rank
  int chunk(int i) const { return i == 0 ? rank : 2 * size - 1 - rank; }
  // T: the positions of a sample on this rank.
  index_t chunk_length(index_t T) const { return T / num_chunks(); }
  index_t first_position(int i, index_t T) const { return chunk(i) * chunk_length(T); }
};

}  // namespace lockstep
