#include "parallel/mpi/group.hpp"

#include <cstring>
#include <utility>

#include "core/error.hpp"
#include "parallel/mpi/check.hpp"

namespace lockstep::mpi {
namespace {

int highest_tag(MPI_Comm communicator) {
  int* value = nullptr;
  int found = 0;
  check(MPI_Comm_get_attr(communicator, MPI_TAG_UB, &value, &found));
  return found != 0 ? *value : 32767;  // what the standard guarantees
}

Tensor flatten(const Tensor& x, const char* what) {
  if (!x.contiguous())
    fail(what, ": rows of ", x.shape().to_string(), " are not adjacent in memory");
  return x.reshape({x.count()});
}

// Messages and MPI collectives that are complete when their requests are; keeps the tensors alive
// until then.
class Posted final : public Operation {
 public:
  Posted(MPI_Comm communicator, const Limits& limits, Tensor first, Tensor second = {})
      : first(std::move(first)),
        second(std::move(second)),
        transfers(communicator, limits.message_elements) {}
  bool advance() override { return transfers.done(); }

  Tensor first, second;
  Transfers transfers;
};

}  // namespace

MpiGroup::MpiGroup(Communicator communicator,
                   std::string axis,
                   Progress& progress,
                   Traffic& traffic)
    : peers_(std::move(communicator)),
      collectives_(Communicator::duplicate(peers_.handle())),
      axis_(std::move(axis)),
      progress_(&progress),
      traffic_(&traffic),
      rank_(peers_.rank()),
      size_(peers_.size()),
      world_ranks_(peers_.world_ranks()),
      highest_tag_(highest_tag(peers_.handle())) {}

void MpiGroup::count_collective(const char* what,
                                const char* operation,
                                index_t elements,
                                DType dtype) {
  if (rank_ == 0) traffic_->count(axis_, what, operation, elements, dtype);
}

TagRange MpiGroup::take_tags(index_t count) {
  const index_t modulus = highest_tag_;
  const TagRange tags{next_tag_, modulus};
  next_tag_ = (next_tag_ + count) % modulus;
  return tags;
}

OperationNote MpiGroup::note(const char* operation, const char* what, const Tensor& x, int peer) {
  OperationNote note;
  note.operation = operation;
  note.axis = &axis_;
  note.what = what;
  note.peer = peer < 0 ? -1 : world_ranks_[static_cast<std::size_t>(peer)];
  note.bytes = x.defined() ? static_cast<index_t>(x.bytes()) : 0;
  note.sequence = started_++;
  return note;
}

Pending MpiGroup::start_exchange(Tensor flat, const ExchangeSpec& spec, const OperationNote& note) {
  const TagRange tags = take_tags(2 * spec.rounds.count());
  return progress_->start(
      std::make_unique<Exchange>(collectives_.handle(), rank_, size_, std::move(flat), spec, tags,
                                 limits_.message_elements),
      note);
}

Pending MpiGroup::start_all_reduce(Tensor x, Reduce reduce, const char* what) {
  const index_t n = x.count(), item_bytes = static_cast<index_t>(size_of(x.dtype()));
  if (x.dtype() == DType::u8) fail(what, ": uint8 elements have no sum over ranks");
  count_collective(what, "all_reduce", 2 * (size_ - 1) * n, x.dtype());
  const bool one_trip = n * item_bytes <= limits_.one_trip_bytes;
  const Rounds rounds(one_trip ? Rounds::Cut::shared : Rounds::Cut::range, n, size_,
                      limits_.bucket_bytes / item_bytes);
  return start_exchange(flatten(x, what), {rounds, reduce, !one_trip}, note("all_reduce", what, x));
}

Pending MpiGroup::start_reduce_scatter(Tensor x, const char* what) {
  const index_t n = x.count(), item_bytes = static_cast<index_t>(size_of(x.dtype()));
  if (x.dtype() == DType::u8) fail(what, ": uint8 elements have no sum over ranks");
  count_collective(what, "reduce_scatter", (size_ - 1) * n, x.dtype());
  const Rounds rounds(Rounds::Cut::spans, n, size_, limits_.bucket_bytes / item_bytes);
  return start_exchange(flatten(x, what), {rounds, Reduce::sum, false},
                        note("reduce_scatter", what, x));
}

Pending MpiGroup::start_all_gather(Tensor x, const char* what) {
  const index_t n = x.count();
  count_collective(what, "all_gather", (size_ - 1) * n, x.dtype());
  const Rounds rounds(Rounds::Cut::spans, n, size_, size_ * limits_.message_elements);
  return start_exchange(flatten(x, what), {rounds, std::nullopt, true},
                        note("all_gather", what, x));
}

Pending MpiGroup::start_all_to_all(Tensor to, Tensor from, const char* what) {
  if (to.count() != from.count() || from.count() % size_ != 0 || to.dtype() != from.dtype()) {
    fail(what, ": ", from.count(), " elements to ", to.count(), " are not ", size_,
         " equal blocks of one type");
  }
  count_collective(what, "all_to_all", (size_ - 1) * from.count(), from.dtype());
  const index_t block = from.count() / size_;
  const int tag = take_tags(1).of(0);
  auto posted = std::make_unique<Posted>(collectives_.handle(), limits_, flatten(to, what),
                                         flatten(from, what));
  posted->first.range(rank_ * block, block).copy_from(posted->second.range(rank_ * block, block));
  for (int step = 1; step < size_; ++step) {
    const int source = (rank_ - step + size_) % size_;
    posted->transfers.receive(posted->first, {source * block, block}, source, tag);
  }
  for (int step = 1; step < size_; ++step) {
    const int target = (rank_ + step) % size_;
    posted->transfers.send(posted->second, {target * block, block}, target, tag);
  }
  return progress_->start(std::move(posted), note("all_to_all", what, from));
}

void MpiGroup::check_peer(int peer, int tag, const char* what) const {
  if (peer < 0 || peer >= size_ || peer == rank_) {
    fail(what, ": rank ", rank_, " of ", size_, " has no peer ", peer, " on ", axis_);
  }
  if (tag < 0 || tag > highest_tag_) {
    fail(what, ": tag ", tag, " is not between 0 and ", highest_tag_);
  }
}

Pending MpiGroup::start_send(Tensor x, int to, int tag, const char* what) {
  check_peer(to, tag, what);
  traffic_->count(axis_, what, "send", x.count(), x.dtype());
  auto posted = std::make_unique<Posted>(peers_.handle(), limits_, flatten(x, what));
  posted->transfers.send(posted->first, {0, x.count()}, to, tag);
  return progress_->start(std::move(posted), note("send", what, x, to));
}

Pending MpiGroup::start_receive(Tensor x, int from, int tag, const char* what) {
  check_peer(from, tag, what);
  auto posted = std::make_unique<Posted>(peers_.handle(), limits_, flatten(x, what));
  posted->transfers.receive(posted->first, {0, x.count()}, from, tag);
  return progress_->start(std::move(posted), note("receive", what, x, from));
}

void MpiGroup::broadcast(Tensor x, int root, const char* what) {
  count_collective(what, "broadcast", (size_ - 1) * x.count(), x.dtype());
  auto posted = std::make_unique<Posted>(collectives_.handle(), limits_, flatten(x, what));
  posted->transfers.broadcast(posted->first, root);
  progress_->start(std::move(posted), note("broadcast", what, x)).wait();
}

void MpiGroup::barrier() {
  auto posted = std::make_unique<Posted>(collectives_.handle(), limits_, Tensor{});
  posted->transfers.barrier();
  progress_->start(std::move(posted), note("barrier", "control", {})).wait();
}

}  // namespace lockstep::mpi
