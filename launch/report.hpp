// What a run says: the terminal's step lines, metrics.jsonl, the heartbeat and DONE (docs/cli.md).
// World rank 0 has one; nobody else. metrics.jsonl is appended to only, a line per write, so that a
// kill tears at most the last line.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launch/memory.hpp"
#include "parallel/topology.hpp"

namespace lockstep {

struct StartEvent {
  std::int64_t step = 0;  // continued from; 0: fresh
  Degrees layout;
  std::int64_t parameters = 0;
  double peak_gflops = 0;  // of all ranks
  std::string model, precision;
  std::int64_t steps = 0;  // of the whole run: for the time left
  MemoryParts memory;      // predicted, of the fullest rank
};

// Named numbers beside the loss: {"mlm_loss", x}, {"nsp_accuracy", x}.
using Figures = std::vector<std::pair<std::string, double>>;

struct StepEvent {
  std::int64_t step = 0;
  double loss = 0;
  Figures parts;
  double gradient_norm = 0, learning_rate = 0;
  std::int64_t tokens = 0;  // consumed since the run's step 0
  double seconds = 0, tokens_per_second = 0;
  std::optional<double> peak_share;  // nothing where the peak is unknown
  double data_wait_seconds = 0;
};

struct ValidationEvent {
  std::int64_t step = 0;
  double loss = 0;
  Figures parts;
  std::int64_t tokens = 0;
  double seconds = 0;
};

struct CheckpointEvent {
  std::int64_t step = 0;
  std::uint64_t bytes = 0;
  double blocked_seconds = 0, seconds = 0;
  std::string path;
};

struct EndEvent {
  std::int64_t step = 0;
  std::string reason;          // "finished", "exit-at-step", "signal", "time-limit"
  std::string weights_sha256;  // "": not asked for
};

// A step whose numbers were not finite; it has no step line.
struct NonFiniteEvent {
  std::int64_t step = 0;
  std::string place, action;  // "rank 1 dp0 pp1 tp0: layer 3, ffn, forward"; "skip" or "rewind"
  std::int64_t back_to = 0;   // of a rewind
};

// Compute seconds of a step, over the ranks: without what a rank waited for others.
struct StragglerEvent {
  std::int64_t step = 0;
  double median_seconds = 0, max_seconds = 0;
  int rank = 0;  // the slowest
};

struct TrafficEvent {
  std::int64_t step = 0;
  std::string axis, what, operation;
  std::uint64_t messages = 0, elements = 0, bytes = 0;
};

// How well the pipeline was filled in one step: measured and as simulated.
struct PipelineEvent {
  std::int64_t step = 0;
  double bubble_fraction = 0, simulated_bubble_fraction = 0;
  double forward_seconds = 0, backward_seconds = 0, weight_seconds = 0;  // an action's, mean
};

// Bytes of a rank of pp rank `pp`, the most of any of them.
struct MemoryEvent {
  std::int64_t step = 0;
  std::int64_t pp = 0;
  StageMemory memory;
};

// The lines of metrics.jsonl, without line end. Floats in the shortest form that reads back
// exactly; one that is not finite is null.
std::string to_json(const StartEvent& event);
std::string to_json(const StepEvent& event);
std::string to_json(const ValidationEvent& event);
std::string to_json(const CheckpointEvent& event);
std::string to_json(const EndEvent& event);
std::string to_json(const TrafficEvent& event);
std::string to_json(const PipelineEvent& event);
std::string to_json(const MemoryEvent& event);
std::string to_json(const NonFiniteEvent& event);
std::string to_json(const StragglerEvent& event);

// "    step      loss  grad norm  ..." and a line below it.
std::string step_header();
std::string step_line(const StepEvent& event, std::optional<double> seconds_left);
std::string duration_text(double seconds);  // "2 h 03 min", "4 min 10 s", "12 s"

class Report {
 public:
  // Opens DIR/metrics.jsonl for appending. Throws Error (failed) naming the file, here and when a
  // line cannot be written.
  explicit Report(const std::string& directory);
  ~Report();
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  void start(const StartEvent& event);
  // Every step goes to metrics.jsonl, those shown to the terminal too.
  void step(const StepEvent& event, bool shown = true);
  void validation(const ValidationEvent& event);
  void checkpoint(const CheckpointEvent& event);
  void traffic(const TrafficEvent& event);
  void pipeline(const PipelineEvent& event);
  void memory(const MemoryEvent& event);
  void nonfinite(const NonFiniteEvent& event);
  void straggler(const StragglerEvent& event);  // to the terminal only when it matters
  void end(const EndEvent& event);
  void beat() const;                       // touches DIR/heartbeat; step() does it too
  void done(const EndEvent& event) const;  // writes DIR/DONE durably

 private:
  void append(const std::string& line);
  std::optional<double> seconds_left(std::int64_t step) const;

  std::string directory_;
  int metrics_ = -1;
  std::int64_t first_step_ = 0, steps_ = 0;
  std::chrono::steady_clock::time_point began_;
};

}  // namespace lockstep
