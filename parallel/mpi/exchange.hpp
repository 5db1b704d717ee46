// Reduce-scatter, all-gather and all-reduce in rounds of pairwise messages: in a round each rank
// sends every peer the peer's part, adds what it got for its own part in a binary tree over the
// ranks (so the bits depend on nothing but the values and the number of ranks), and sends the
// result to all. n ranks: (n-1)/n of the elements leave each rank per direction, the least
// possible. In a GPU's memory the same: MPI reads and writes it itself, kernels add. Messages are
// then posted when the ops asked for before them are done, those that use the scratch included.
#pragma once

#include <optional>
#include <vector>

#include "parallel/mpi/progress.hpp"
#include "parallel/mpi/rounds.hpp"
#include "parallel/mpi/transfers.hpp"

namespace lockstep::mpi {

// Tags first, first + 1, ... first + 2 rounds - 1, modulo `modulus`, are the operation's own.
struct TagRange {
  index_t first = 0, modulus = 2;
  int of(index_t i) const { return static_cast<int>((first + i) % modulus); }
};

struct ExchangeSpec {
  Rounds rounds;
  std::optional<Reduce> reduce;  // absent: the own part is already whole
  bool gather = true;            // send the own part to all at the end
};

class Exchange final : public Operation {
 public:
  Exchange(MPI_Comm communicator,
           int rank,
           int size,
           Tensor flat,
           ExchangeSpec spec,
           TagRange tags,
           index_t message_elements);
  bool advance() override;

 private:
  enum class Phase { entering, collecting, summed, spreading, done };
  struct Round {
    index_t index;
    Phase phase;
    CopyTicket settled;            // of the ops that the next messages come after
    std::vector<Tensor> received;  // one part per peer, in rank order, the own place empty
    Transfers transfers;
  };

  void start_round();
  void start_collecting(Round& round);
  void sum_received(Round& round);
  void start_spreading(Round& round);
  bool advance_round(Round& round);  // true when the round is done

  MPI_Comm communicator_;
  int rank_, size_;
  Tensor flat_;
  ExchangeSpec spec_;
  TagRange tags_;
  index_t message_elements_;
  index_t next_round_ = 0;
  std::vector<Round> in_flight_;
};

}  // namespace lockstep::mpi
