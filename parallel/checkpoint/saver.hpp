// Saves a checkpoint beside the training. start() copies what this rank writes into a second arena
// and returns; a thread writes the file. When no rank is working any more, advance() gathers the
// tile tables and world rank 0's thread commits; the next advance() brings the result. Threads
// touch the disk only: all messages are sent by the callers.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "parallel/checkpoint/save_steps.hpp"

namespace lockstep {

struct SaverConfig {
  std::string checkpoints;
  bool background = false;              // false: no arena; start() must be followed by finish()
  std::string word;                     // of this start of the run, in temporary names
  std::function<void()> before_rename;  // of world rank 0; throws when it must not commit
  int keep = 0;                         // 0: all stay
  std::int64_t keep_every = 0;
};

class CheckpointSaver {
 public:
  // Collective. All must outlive this.
  CheckpointSaver(const Environment& environment,
                  const Topology& topology,
                  const ParameterStore& store,
                  SaverConfig config);
  ~CheckpointSaver();
  CheckpointSaver(const CheckpointSaver&) = delete;
  CheckpointSaver& operator=(const CheckpointSaver&) = delete;

  bool background() const { return config_.background; }
  bool in_flight() const { return phase_ != Phase::idle; }
  bool working() const;  // this rank's thread still has something to do

  // All collective. They throw AgreedError when any rank failed; then nothing is in flight, the
  // temporary directory is gone and older checkpoints are untouched.
  void start(const CheckpointMeta& meta, const OptimizerState& optimizer);  // not in flight
  std::optional<SaveResult> advance();  // waits for this rank's thread
  SaveResult finish();                  // in flight

 private:
  enum class Phase { idle, writing, committing };
  using Clock = std::chrono::steady_clock;

  // What the threads bring; ended: seconds since the save began.
  struct Written {
    checkpoint::Manifest part;
    double ended = 0;
  };
  struct Committed {
    std::string warning;  // of the pruning
    double ended = 0;
  };

  void copy(const OptimizerState& optimizer);
  void gather();
  SaveResult end();
  void give_up();
  bool root() const;
  double elapsed() const;  // seconds since the save began

  const Environment& environment_;
  const Topology& topology_;
  const ParameterStore& store_;
  SaverConfig config_;
  std::vector<Piece> pieces_;
  Span span_;  // of the flat buffer: what pieces_ lie in
  checkpoint::Snapshot snapshot_;
  Phase phase_ = Phase::idle;
  CheckpointMeta meta_;
  std::string temporary_;
  SaveResult result_;
  Clock::time_point began_;
  double idle_ = 0;  // of the save: it lay ready and nobody had looked
  std::future<Written> written_;
  std::future<Committed> committed_;
  std::future<void> touched_;  // the arena's pages
};

}  // namespace lockstep
