#include "parallel/mpi/activity.hpp"

#include "core/error.hpp"

namespace lockstep {
namespace {

double seconds_between(Activity::Clock::time_point begin, Activity::Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

std::string describe(const OperationNote& note) {
  std::string text = build_string(note.operation, " #", note.sequence, " of ", note.what, " over ",
                                  note.axis != nullptr ? *note.axis : "?");
  if (note.peer >= 0) text += build_string(" with rank ", note.peer);
  if (note.bytes > 0) text += build_string(", ", note.bytes, " bytes");
  return text;
}

}  // namespace

void Activity::enter(const char* phase, std::int64_t step, bool patient) {
  const std::lock_guard lock(mutex_);
  phase_ = phase;
  step_ = step;
  patient_ = patient;
  last_progress_ = Clock::now();
}

void Activity::begin_wait(const OperationNote& note) {
  const std::lock_guard lock(mutex_);
  waiting_ = note;
  wait_began_ = Clock::now();
}

void Activity::end_wait() {
  const std::lock_guard lock(mutex_);
  waiting_.reset();
  last_progress_ = Clock::now();
  waited_seconds_ += seconds_between(wait_began_, last_progress_);
}

Activity::Snapshot Activity::snapshot() const {
  const std::lock_guard lock(mutex_);
  Snapshot now;
  now.step = step_;
  now.phase = phase_;
  now.patient = patient_;
  if (waiting_) now.waiting = describe(*waiting_);
  now.idle_seconds = seconds_between(last_progress_, Clock::now());
  return now;
}

double Activity::waited_seconds() const {
  const std::lock_guard lock(mutex_);
  return waited_seconds_;
}

}  // namespace lockstep
