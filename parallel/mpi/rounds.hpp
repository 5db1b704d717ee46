// How a collective over n elements and `size` ranks is cut into rounds, so that scratch stays small
// and counts below INT_MAX. part(j, r): what belongs to rank r in round j. Over all j and r the
// parts cover the n elements once (Cut::shared: per rank).
#pragma once

#include "core/group.hpp"

namespace lockstep::mpi {

class Rounds {
 public:
  enum class Cut {
    range,  // round j is a range of the n elements, cut evenly over the ranks (all-reduce)
    spans,  // round j is a range of each rank's span_in(of, n, r, size) (reduce-scatter,
            // all-gather)
    shared  // every rank's part is the whole range (all-reduce of few elements: one trip instead of
            // two)
  };

  // per_round: elements of all parts of one round together, at most. of: for Cut::spans.
  Rounds(Cut cut, index_t n, int size, index_t per_round, Window of = {});

  index_t count() const { return count_; }
  Span part(index_t round, int rank) const;

 private:
  Cut cut_;
  index_t n_;
  int size_;
  Window of_;
  index_t step_;  // elements of a round: of the n (range, shared) or of one span (spans)
  index_t count_;
};

}  // namespace lockstep::mpi
