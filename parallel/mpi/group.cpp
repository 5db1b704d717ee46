#include "parallel/mpi/group.hpp"

#include <algorithm>
#include <utility>

#include "core/error.hpp"
#include "parallel/mpi/check.hpp"
#include "parallel/mpi/operands.hpp"
#include "parallel/mpi/staging/settled.hpp"

namespace lockstep::mpi {
namespace {

int highest_tag(MPI_Comm communicator) {
  int* value = nullptr;
  int found = 0;
  check(MPI_Comm_get_attr(communicator, MPI_TAG_UB, &value, &found));
  return found != 0 ? *value : 32767;  // what the standard guarantees
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

bool MpiGroup::staged(const Tensor& x) const {
  return limits_.stage_all || (x.device().kind == Device::Kind::cuda && !limits_.direct);
}

index_t MpiGroup::staging_elements(const Tensor& x) const {
  return std::max<index_t>(1, limits_.staging_bytes / static_cast<index_t>(size_of(x.dtype())));
}

// Tags are taken here, in the same order by all members, whenever the chunks will travel.
Pending MpiGroup::start_exchange(const Tensor& flat,
                                 const SpecOf& spec_of,
                                 std::vector<StagedChunk> chunks,
                                 const OperationNote& note,
                                 CopyTicket after) {
  const auto exchange = [this](Tensor x, const ExchangeSpec& spec, const TagRange& tags) {
    return std::make_unique<Exchange>(collectives_.handle(), rank_, size_, std::move(x), spec, tags,
                                      limits_.message_elements);
  };
  if (!staged(flat)) {
    const ExchangeSpec spec = spec_of(0, flat.count());
    return progress_->start(exchange(flat, spec, take_tags(2 * spec.rounds.count())), note);
  }
  std::vector<std::pair<ExchangeSpec, TagRange>> parts;
  for (const StagedChunk& chunk : chunks) {
    const index_t first = chunk.out.empty() ? 0 : chunk.out.front().device_first;
    const ExchangeSpec spec = spec_of(first, chunk.host_elements);
    parts.emplace_back(spec, take_tags(2 * spec.rounds.count()));
  }
  const auto travel = [exchange, parts](std::size_t chunk, Tensor host) {
    return exchange(std::move(host), parts[chunk].first, parts[chunk].second);
  };
  return progress_->start(
      std::make_unique<Staged>(flat, flat, std::move(chunks), travel, nullptr, after), note);
}

Pending MpiGroup::start_all_reduce(Tensor x, Reduce reduce, const char* what, CopyTicket after) {
  const index_t n = x.count(), item_bytes = static_cast<index_t>(size_of(x.dtype()));
  require_sum(x, what);
  count_collective(what, "all_reduce", 2 * (size_ - 1) * n, x.dtype());
  const auto spec = [=, this](index_t, index_t elements) -> ExchangeSpec {
    const bool one_trip = elements * item_bytes <= limits_.one_trip_bytes;
    return {Rounds(one_trip ? Rounds::Cut::shared : Rounds::Cut::range, elements, size_,
                   limits_.bucket_bytes / item_bytes),
            reduce, !one_trip};
  };
  return start_exchange(flatten(x, what), spec, cut_range(n, staging_elements(x), true, true),
                        note("all_reduce", what, x), after);
}

Pending MpiGroup::start_reduce_scatter(Tensor x, const char* what, Window of, CopyTicket after) {
  const index_t n = x.count(), item_bytes = static_cast<index_t>(size_of(x.dtype()));
  require_sum(x, what);
  count_collective(what, "reduce_scatter", (size_ - 1) * n, x.dtype());
  const auto rounds = [=, this](index_t elements, Window window) -> ExchangeSpec {
    return {Rounds(Rounds::Cut::spans, elements, size_, limits_.bucket_bytes / item_bytes, window),
            Reduce::sum, false};
  };
  const Tensor flat = flatten(x, what);
  const OperationNote noted = note("reduce_scatter", what, x);
  if (of.total == 0) {
    const auto all = [](int) { return true; };
    const auto own = [this](int rank) { return rank == rank_; };
    const auto spec = [=](index_t, index_t elements) { return rounds(elements, {}); };
    return start_exchange(flat, spec, cut_spans(n, size_, staging_elements(x), all, own), noted,
                          after);
  }
  const auto window = [=](index_t first) { return Window{of.first + first, of.total}; };
  std::vector<StagedChunk> chunks = cut_range(n, staging_elements(x), true, false);
  for (StagedChunk& chunk : chunks) {
    const StagedPiece& piece = chunk.out.front();
    const Span own = span_in(window(piece.device_first), piece.count, rank_, size_);
    if (own.count > 0) chunk.in.push_back({piece.device_first + own.first, own.first, own.count});
  }
  const auto spec = [=](index_t first, index_t elements) {
    return rounds(elements, window(first));
  };
  return start_exchange(flat, spec, std::move(chunks), noted, after);
}

Pending MpiGroup::start_all_gather(Tensor x, const char* what) {
  const index_t n = x.count();
  count_collective(what, "all_gather", (size_ - 1) * n, x.dtype());
  const auto spec = [this](index_t, index_t elements) -> ExchangeSpec {
    return {Rounds(Rounds::Cut::spans, elements, size_, size_ * limits_.message_elements),
            std::nullopt, true};
  };
  const auto own = [this](int rank) { return rank == rank_; };
  const auto others = [this](int rank) { return rank != rank_; };
  return start_exchange(flatten(x, what), spec,
                        cut_spans(n, size_, staging_elements(x), own, others),
                        note("all_gather", what, x));
}

Pending MpiGroup::start_all_to_all(Tensor to, Tensor from, const char* what) {
  if (to.count() != from.count() || from.count() % size_ != 0 || to.dtype() != from.dtype()) {
    fail(what, ": ", from.count(), " elements to ", to.count(), " are not ", size_,
         " equal blocks of one type");
  }
  count_collective(what, "all_to_all", (size_ - 1) * from.count(), from.dtype());
  if (staged(from)) {
    // Whole, by way of the CPU's memory: rows that change places, never more than one activation.
    Tensor received = Tensor::staging({to.count()}, to.dtype(), to.device());
    auto back =
        std::make_shared<Pending>(start_blocks(received, flatten(from, what).to(Device{}),
                                               take_tags(1).of(0), note("all_to_all", what, from)));
    return Pending([back, received, to]() mutable {
      back->wait();
      to.reshape({to.count()}).copy_from(received);
    });
  }
  return start_blocks(flatten(to, what), flatten(from, what), take_tags(1).of(0),
                      note("all_to_all", what, from));
}

// Equal blocks, one to each member; both tensors flat.
Pending MpiGroup::start_blocks(Tensor to, Tensor from, int tag, const OperationNote& note) {
  const index_t block = from.count() / size_;
  to.range(rank_ * block, block).copy_from(from.range(rank_ * block, block));
  const auto post = [this, to, from, tag, block] {
    auto posted = std::make_unique<Posted>(collectives_.handle(), limits_, to, from);
    for (int step = 1; step < size_; ++step) {
      const int source = (rank_ - step + size_) % size_;
      posted->transfers.receive(posted->first, {source * block, block}, source, tag);
    }
    for (int step = 1; step < size_; ++step) {
      const int target = (rank_ + step) % size_;
      posted->transfers.send(posted->second, {target * block, block}, target, tag);
    }
    return posted;
  };
  if (from.device() == Device{}) return progress_->start(post(), note);
  return progress_->start(std::make_unique<Settled>(from.device(), post, nullptr), note);
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
  const auto post = [this, to, tag](Tensor flat) {
    auto posted = std::make_unique<Posted>(peers_.handle(), limits_, std::move(flat));
    posted->transfers.send(posted->first, {0, posted->first.count()}, to, tag);
    return posted;
  };
  const Tensor flat = flatten(x, what);
  const OperationNote noted = note("send", what, x, to);
  if (x.device() == Device{} && !staged(x)) return progress_->start(post(flat), noted);
  Turns* turns = &sends_[{to, tag}];
  if (!staged(x)) {
    return progress_->start(std::make_unique<Settled>(
                                x.device(), [post, flat] { return post(flat); }, turns),
                            noted);
  }
  return progress_->start(
      std::make_unique<Staged>(
          flat, Tensor{}, cut_range(x.count(), staging_elements(x), true, false),
          [post](std::size_t, Tensor host) { return post(std::move(host)); }, turns),
      noted);
}

Pending MpiGroup::start_receive(Tensor x, int from, int tag, const char* what) {
  check_peer(from, tag, what);
  const auto post = [this, from, tag](Tensor flat) {
    auto posted = std::make_unique<Posted>(peers_.handle(), limits_, std::move(flat));
    posted->transfers.receive(posted->first, {0, posted->first.count()}, from, tag);
    return posted;
  };
  const Tensor flat = flatten(x, what);
  const OperationNote noted = note("receive", what, x, from);
  if (x.device() == Device{} && !staged(x)) return progress_->start(post(flat), noted);
  Turns* turns = &receives_[{from, tag}];
  if (!staged(x)) {
    return progress_->start(std::make_unique<Settled>(
                                x.device(), [post, flat] { return post(flat); }, turns),
                            noted);
  }
  return progress_->start(
      std::make_unique<Staged>(
          Tensor{}, flat, cut_range(x.count(), staging_elements(x), false, true),
          [post](std::size_t, Tensor host) { return post(std::move(host)); }, turns),
      noted);
}

void MpiGroup::broadcast(Tensor x, int root, const char* what) {
  count_collective(what, "broadcast", (size_ - 1) * x.count(), x.dtype());
  Tensor here = flatten(x, what).to(Device{});
  auto posted = std::make_unique<Posted>(collectives_.handle(), limits_, here);
  posted->transfers.broadcast(posted->first, root);
  progress_->start(std::move(posted), note("broadcast", what, x)).wait();
  if (x.device() != Device{}) x.reshape({x.count()}).copy_from(here);
}

void MpiGroup::barrier() {
  auto posted = std::make_unique<Posted>(collectives_.handle(), limits_, Tensor{});
  posted->transfers.barrier();
  progress_->start(std::move(posted), note("barrier", "control", {})).wait();
}

}  // namespace lockstep::mpi
