// A Group over an MPI communicator of two ranks or more. Everything started here is truly
// non-blocking and moves on whenever any Pending of the process is waited for. Tensors of a GPU go
// by way of the CPU (staging/staged.hpp), or directly where MPI can (Limits::direct), with the same
// sums. Collectives must be started in the same order by all members.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/group.hpp"
#include "parallel/mpi/communicator.hpp"
#include "parallel/mpi/exchange.hpp"
#include "parallel/mpi/progress.hpp"
#include "parallel/mpi/staging/staged.hpp"
#include "parallel/mpi/staging/turns.hpp"
#include "parallel/mpi/traffic.hpp"

namespace lockstep::mpi {

// Sizes that change how a collective is cut, never its result; equal on all members.
struct Limits {
  // Of one MPI call, far below INT_MAX: 2 GiB of doubles.
  index_t message_elements = index_t{1} << 28;
  // Bytes summed in one round. Measured: 2 MiB buckets move 2 to 4 times what one call over 128 MiB
  // does, because scratch stays in cache and is recycled.
  index_t bucket_bytes = index_t{2} << 20;
  // All-reduces up to this size take one trip (everyone sends all to everyone) instead of two.
  index_t one_trip_bytes = 4096;
  // Of one chunk that goes by way of the CPU: copies of 4 MiB reach the full speed of the bus.
  index_t staging_bytes = index_t{4} << 20;
  bool stage_all = false;  // also what is in the CPU's memory: for tests
  bool direct = false;     // MPI reads and writes a GPU's memory itself: nothing is staged
};

class MpiGroup final : public Group {
 public:
  // axis: the name its traffic is counted under. progress and traffic must outlive the group.
  MpiGroup(Communicator communicator, std::string axis, Progress& progress, Traffic& traffic);

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& axis() const { return axis_; }
  void set_limits(const Limits& limits) { limits_ = limits; }

  Pending start_all_reduce(Tensor x, Reduce reduce, const char* what, CopyTicket after) override;
  Pending start_reduce_scatter(Tensor x, const char* what, Window of, CopyTicket after) override;
  Pending start_all_gather(Tensor x, const char* what) override;
  Pending start_all_to_all(Tensor to, Tensor from, const char* what) override;
  // tag: 0 to the communicator's MPI_TAG_UB (at least 32767).
  Pending start_send(Tensor x, int to, int tag, const char* what) override;
  Pending start_receive(Tensor x, int from, int tag, const char* what) override;
  void broadcast(Tensor x, int root, const char* what) override;
  void barrier() override;

 private:
  // Of elements of the tensor that begin at `first`, or of a chunk of equal blocks.
  using SpecOf = std::function<ExchangeSpec(index_t first, index_t elements)>;
  using Peer = std::pair<int, int>;  // rank and tag

  bool staged(const Tensor& x) const;
  index_t staging_elements(const Tensor& x) const;
  Pending start_exchange(const Tensor& flat,
                         const SpecOf& spec_of,
                         std::vector<StagedChunk> chunks,
                         const OperationNote& note,
                         CopyTicket after = 0);
  Pending start_blocks(Tensor to, Tensor from, int tag, const OperationNote& note);
  OperationNote note(const char* operation, const char* what, const Tensor& x, int peer = -1);
  void count_collective(const char* what, const char* operation, index_t elements, DType dtype);
  void check_peer(int peer, int tag, const char* what) const;
  TagRange take_tags(index_t count);

  Communicator peers_;        // send and receive, with the caller's tags
  Communicator collectives_;  // own tags
  std::string axis_;
  Progress* progress_;
  Traffic* traffic_;
  int rank_, size_;
  std::vector<int> world_ranks_;  // of the members
  std::uint64_t started_ = 0;
  int highest_tag_;
  index_t next_tag_ = 0;
  std::map<Peer, Turns> sends_, receives_;  // of messages out of and into a GPU's memory
  Limits limits_;
};

}  // namespace lockstep::mpi
