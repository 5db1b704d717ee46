// When a run saves, and what it says about it. A save goes on beside the training (--save async);
// one that is still running when the next is due is waited for. A failed save is a warning: the
// older checkpoints stand, and only the last one of a run must succeed.
#pragma once

#include <chrono>
#include <cstdint>

#include "launch/options.hpp"
#include "launch/report.hpp"
#include "launch/run_directory.hpp"
#include "launch/time_limit.hpp"
#include "launch/trainer.hpp"
#include "parallel/checkpoint/saver.hpp"

namespace lockstep {

class Checkpointing {
 public:
  // Collective. All must outlive this. directory: taken over.
  Checkpointing(const Environment& environment,
                Trainer& trainer,
                const RunOptions& options,
                const RunDirectory& directory,
                TimeLimit& time_limit);

  void set_report(Report* report) { report_ = report; }  // of world rank 0
  void continued_from(std::int64_t step) { newest_ = step; }
  std::int64_t newest() const { return newest_; }  // saved, or being saved

  bool due(std::int64_t step) const;
  bool due_by_clock() const;                              // as this rank's clock has it
  bool working() const { return saver_.working(); }       // on this rank
  bool snapshots() const { return saver_.background(); }  // keeps memory to save from

  // All collective.
  void save(const CheckpointMeta& meta, bool must_succeed);
  void proceed();                  // when no rank is working
  void settle(bool must_succeed);  // until nothing is in flight

 private:
  using Clock = std::chrono::steady_clock;

  void done(const SaveResult& result);
  void failed(const AgreedError& error) const;
  void say_waiting(std::int64_t step);

  Trainer& trainer_;
  const RunOptions& options_;
  TimeLimit& time_limit_;
  Report* report_ = nullptr;
  CheckpointSaver saver_;
  std::int64_t newest_ = -1, in_flight_ = -1, before_ = -1;
  Clock::time_point last_ = Clock::now();
  std::optional<Clock::time_point> said_;
};

}  // namespace lockstep
