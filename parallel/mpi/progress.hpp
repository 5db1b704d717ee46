// Started operations of all groups of a process. Waiting for one moves all: two ranks may wait for
// the same operations in different orders, and an operation of several steps goes on while another
// one is waited for.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/group.hpp"
#include "parallel/mpi/activity.hpp"

namespace lockstep::mpi {

class Operation {
 public:
  virtual ~Operation() = default;
  virtual bool advance() = 0;  // does what can be done without waiting; true when finished
};

class Progress {
 public:
  // Also moves what was started before. The Pending refers to this object, which must outlive it.
  // note: what a report says while it is waited for.
  [[nodiscard]] Pending start(std::unique_ptr<Operation> operation, const OperationNote& note);

  Activity& activity() { return activity_; }

 private:
  struct Active {
    std::uint64_t ticket;
    std::unique_ptr<Operation> operation;
  };

  void wait(std::uint64_t ticket, const OperationNote& note);
  bool given_up();
  void advance_all();
  bool finished(std::uint64_t ticket) const;

  Activity activity_;
  std::vector<Active> active_;
  std::uint64_t next_ticket_ = 0;
  std::optional<std::chrono::steady_clock::time_point> deadline_;  // of all waits of one unwinding
};

}  // namespace lockstep::mpi
