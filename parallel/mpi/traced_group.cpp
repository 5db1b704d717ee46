#include "parallel/mpi/traced_group.hpp"

#include <chrono>

namespace lockstep {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

CommunicationEvent TracedGroup::event(const char* operation,
                                      const char* what,
                                      std::size_t bytes) const {
  return {operation, axis_, what, static_cast<index_t>(bytes), now(), 0, 0};
}

// The operation ends for this rank when its wait returns: what it did before, while the rank
// computed, shows as the time from begin to waited.
Pending TracedGroup::noted(CommunicationEvent event, Pending pending) {
  auto shared = std::make_shared<Pending>(std::move(pending));
  const auto wait = [this, event, shared]() mutable {
    event.waited = now();
    shared->wait();
    event.end = now();
    log_->add(std::move(event));
  };
  return Pending(wait, [shared] { return shared->done(); });
}

Pending TracedGroup::start_all_reduce(Tensor x, Reduce reduce, const char* what, CopyTicket after) {
  const CommunicationEvent started = event("all_reduce", what, x.bytes());
  return noted(started, group_->start_all_reduce(std::move(x), reduce, what, after));
}

Pending TracedGroup::start_reduce_scatter(Tensor x, const char* what, Window of, CopyTicket after) {
  const CommunicationEvent started = event("reduce_scatter", what, x.bytes());
  return noted(started, group_->start_reduce_scatter(std::move(x), what, of, after));
}

Pending TracedGroup::start_all_gather(Tensor x, const char* what) {
  const CommunicationEvent started = event("all_gather", what, x.bytes());
  return noted(started, group_->start_all_gather(std::move(x), what));
}

Pending TracedGroup::start_all_to_all(Tensor to, Tensor from, const char* what) {
  const CommunicationEvent started = event("all_to_all", what, from.bytes());
  return noted(started, group_->start_all_to_all(std::move(to), std::move(from), what));
}

Pending TracedGroup::start_send(Tensor x, int to, int tag, const char* what) {
  const CommunicationEvent started = event("send", what, x.bytes());
  return noted(started, group_->start_send(std::move(x), to, tag, what));
}

Pending TracedGroup::start_receive(Tensor x, int from, int tag, const char* what) {
  const CommunicationEvent started = event("receive", what, x.bytes());
  return noted(started, group_->start_receive(std::move(x), from, tag, what));
}

void TracedGroup::broadcast(Tensor x, int root, const char* what) {
  CommunicationEvent started = event("broadcast", what, x.bytes());
  group_->broadcast(std::move(x), root, what);
  started.waited = started.begin;
  started.end = now();
  log_->add(std::move(started));
}

void TracedGroup::barrier() {
  CommunicationEvent started = event("barrier", "control", 0);
  group_->barrier();
  started.waited = started.begin;
  started.end = now();
  log_->add(std::move(started));
}

}  // namespace lockstep
