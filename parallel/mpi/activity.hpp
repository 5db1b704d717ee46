// What this rank does at the moment and what it waits for. The training thread writes it, the
// watchdog's thread reads it; a report names the rank that is late, so each must be able to say
// more than "I wait".
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "core/shape.hpp"

namespace lockstep {

// An operation under way. sequence: how many this group has started before on this rank; equal on
// all members for a collective.
struct OperationNote {
  const char* operation = "";         // "all_reduce", "send", ...
  const std::string* axis = nullptr;  // owned by the group
  const char* what = "";              // the purpose given by the caller
  int peer = -1;                      // world rank of the other end; -1: all members
  index_t bytes = 0;
  std::uint64_t sequence = 0;
};

class Activity {
 public:
  using Clock = std::chrono::steady_clock;

  struct Snapshot {
    std::int64_t step = 0;
    std::string phase;
    bool patient = false;
    std::string waiting;      // "all_reduce #118 of gradient over dp, 2097152 bytes"; "": it works
    double idle_seconds = 0;  // since something last ended
  };

  // phase: a literal. patient: it may take long without a sign of progress (start-up, a save).
  void enter(const char* phase, std::int64_t step, bool patient = false);
  void begin_wait(const OperationNote& note);
  void end_wait();

  Snapshot snapshot() const;
  double waited_seconds() const;  // in all waits so far

 private:
  mutable std::mutex mutex_;
  const char* phase_ = "start-up";
  bool patient_ = true;
  std::int64_t step_ = 0;
  std::optional<OperationNote> waiting_;
  Clock::time_point last_progress_ = Clock::now(), wait_began_;
  double waited_seconds_ = 0;
};

}  // namespace lockstep
