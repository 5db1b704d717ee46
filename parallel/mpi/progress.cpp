#include "parallel/mpi/progress.hpp"

#include <algorithm>
#include <exception>

namespace lockstep::mpi {
namespace {

// Well below the 10 s in which all ranks must be gone after an error on one of them.
constexpr std::chrono::seconds patience_while_unwinding{2};

}  // namespace

Pending Progress::start(std::unique_ptr<Operation> operation, const OperationNote& note) {
  advance_all();
  if (operation->advance()) return {};
  const std::uint64_t ticket = next_ticket_++;
  active_.push_back({ticket, std::move(operation)});
  return Pending([this, ticket, note] { wait(ticket, note); },
                 [this, ticket] {
                   advance_all();
                   return finished(ticket);
                 });
}

void Progress::wait(std::uint64_t ticket, const OperationNote& note) {
  if (std::uncaught_exceptions() == 0) deadline_.reset();
  activity_.begin_wait(note);
  while (!finished(ticket)) {
    advance_all();
    if (std::uncaught_exceptions() > 0 && given_up()) break;
  }
  activity_.end_wait();
}

// An exception on this rank may be why the peer never answers: it must reach main, whose abort ends
// the peers. The operation stays here with its tensors, because MPI may still write to them.
bool Progress::given_up() {
  const auto now = std::chrono::steady_clock::now();
  if (!deadline_) deadline_ = now + patience_while_unwinding;
  return now > *deadline_;
}

void Progress::advance_all() {
  for (Active& active : active_) {
    if (active.operation->advance()) active.operation.reset();
  }
  active_.erase(std::remove_if(active_.begin(), active_.end(),
                               [](const Active& active) { return active.operation == nullptr; }),
                active_.end());
}

bool Progress::finished(std::uint64_t ticket) const {
  return std::none_of(active_.begin(), active_.end(),
                      [&](const Active& active) { return active.ticket == ticket; });
}

}  // namespace lockstep::mpi
