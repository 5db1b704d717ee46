#include "parallel/mpi/rounds.hpp"

#include <algorithm>

namespace lockstep::mpi {

Rounds::Rounds(Cut cut, index_t n, int size, index_t per_round, Window of)
    : cut_(cut),
      n_(n),
      size_(size),
      of_(of),
      step_(std::max<index_t>(1, cut == Cut::spans ? per_round / size : per_round)) {
  index_t longest = cut == Cut::spans ? 0 : n;
  for (int rank = 0; cut == Cut::spans && rank < size; ++rank)
    longest = std::max(longest, span_in(of, n, rank, size).count);
  count_ = (longest + step_ - 1) / step_;
}

Span Rounds::part(index_t round, int rank) const {
  const Span whole = cut_ == Cut::spans ? span_in(of_, n_, rank, size_) : Span{0, n_};
  const index_t begin = std::min(round * step_, whole.count);
  const index_t count = std::min(step_, whole.count - begin);
  if (cut_ != Cut::range) return {whole.first + begin, count};
  const Span own = span_of(count, rank, size_);
  return {begin + own.first, own.count};
}

}  // namespace lockstep::mpi
