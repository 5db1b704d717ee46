#include "parallel/mpi/exchange.hpp"

#include <algorithm>

#include "core/ops/combine.hpp"

namespace lockstep::mpi {
namespace {

// Enough to keep sums and messages going at once; scratch is this many rounds.
constexpr std::size_t most_rounds_in_flight = 4;

}  // namespace

Exchange::Exchange(MPI_Comm communicator,
                   int rank,
                   int size,
                   Tensor flat,
                   ExchangeSpec spec,
                   TagRange tags,
                   index_t message_elements)
    : communicator_(communicator),
      rank_(rank),
      size_(size),
      flat_(std::move(flat)),
      spec_(spec),
      tags_(tags),
      message_elements_(message_elements) {}

bool Exchange::advance() {
  for (;;) {
    in_flight_.erase(std::remove_if(in_flight_.begin(), in_flight_.end(),
                                    [](const Round& round) { return round.phase == Phase::done; }),
                     in_flight_.end());
    while (in_flight_.size() < most_rounds_in_flight && next_round_ < spec_.rounds.count()) {
      start_round();
    }
    bool any_done = false;
    for (Round& round : in_flight_) any_done |= advance_round(round);
    if (in_flight_.empty()) return true;
    if (!any_done) return false;
  }
}

void Exchange::start_round() {
  const Span own = spec_.rounds.part(next_round_, rank_);
  std::vector<Tensor> received(spec_.reduce ? static_cast<std::size_t>(size_) : 0);
  for (std::size_t from = 0; from < received.size(); ++from) {
    if (from != static_cast<std::size_t>(rank_))
      received[from] = Tensor::empty({own.count}, flat_.dtype(), flat_.device());
  }
  in_flight_.push_back({next_round_++, Phase::entering, start_waiting(flat_.device()),
                        std::move(received), Transfers(communicator_, message_elements_)});
}

// Peers in an order that differs from rank to rank: not all send to rank 0 first.
void Exchange::start_collecting(Round& round) {
  const int tag = tags_.of(2 * round.index);
  const Span own = spec_.rounds.part(round.index, rank_);
  for (int step = 1; step < size_; ++step) {
    const int from = (rank_ - step + size_) % size_;
    round.transfers.receive(round.received[static_cast<std::size_t>(from)], {0, own.count}, from,
                            tag);
  }
  for (int step = 1; step < size_; ++step) {
    const int to = (rank_ + step) % size_;
    round.transfers.send(flat_, spec_.rounds.part(round.index, to), to, tag);
  }
}

// ((x_0 + x_1) + (x_2 + x_3)) + ...: a tree, so that ranks which each hold a subtree of a longer
// sum end with the bits of the whole one (core/ops/sum_order). It runs in the places of the left
// parts, and moves home at the end where that is not flat_.
void Exchange::sum_received(Round& round) {
  const Span own = spec_.rounds.part(round.index, rank_);
  Tensor mine = flat_.range(own.first, own.count);
  std::vector<Tensor>& parts = round.received;
  parts[static_cast<std::size_t>(rank_)] = mine;
  for (std::size_t apart = 1; apart < parts.size(); apart *= 2) {
    for (std::size_t left = 0; left + apart < parts.size(); left += 2 * apart) {
      combine(parts[left], parts[left + apart], *spec_.reduce);
    }
  }
  if (rank_ != 0) mine.copy_from(parts.front());
  parts.clear();
}

void Exchange::start_spreading(Round& round) {
  const int tag = tags_.of(2 * round.index + 1);
  for (int step = 1; step < size_; ++step) {
    const int from = (rank_ - step + size_) % size_;
    round.transfers.receive(flat_, spec_.rounds.part(round.index, from), from, tag);
  }
  for (int step = 1; step < size_; ++step) {
    const int to = (rank_ + step) % size_;
    round.transfers.send(flat_, spec_.rounds.part(round.index, rank_), to, tag);
  }
}

bool Exchange::advance_round(Round& round) {
  if (round.phase == Phase::entering) {
    if (!done(flat_.device(), round.settled)) return false;
    if (spec_.reduce) start_collecting(round);
    round.phase = Phase::collecting;
  }
  if (!round.transfers.done()) return false;
  if (round.phase == Phase::collecting) {
    if (spec_.reduce) sum_received(round);
    if (spec_.reduce && spec_.gather) round.settled = start_waiting(flat_.device());
    round.phase = Phase::summed;
  }
  if (round.phase == Phase::summed) {
    if (!done(flat_.device(), round.settled)) return false;
    round.phase = Phase::spreading;
    if (spec_.gather) start_spreading(round);
    if (!round.transfers.done()) return false;
  }
  round.phase = Phase::done;
  return true;
}

}  // namespace lockstep::mpi
