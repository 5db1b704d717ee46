// Chrome trace events (open in Perfetto): DIR/trace/rank-NNNNN.json, written as the run goes, one
// file a rank; `lockstep trace merge RUN` joins them on rank 0's clock.
#pragma once

#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "core/ops/op_log.hpp"
#include "parallel/mpi/environment.hpp"
#include "parallel/pipeline/runner.hpp"

namespace lockstep {

// Floating-point operations of an action of this rank; 0: not known.
using ActionFlops = std::function<double(const Action&)>;

class TraceWriter {
 public:
  // Collective: the ranks measure how far their clocks are from rank 0's. name: of this rank, as
  // shown ("rank 3 dp0 pp1 tp1"). Throws Error (failed) naming the file.
  TraceWriter(const std::string& run_directory,
              const Environment& environment,
              std::string name,
              ActionFlops flops);
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  // What this rank did in a step.
  void step(std::int64_t step,
            const std::vector<TimedAction>& actions,
            const std::vector<CommunicationEvent>& communications,
            const std::vector<OpEvent>& ops);

 private:
  void line(const std::string& json);

  int rank_;
  std::string path_;
  ActionFlops flops_;
  std::ofstream file_;
  bool empty_ = true;
  std::vector<double> lane_ends_;  // communications that overlap go on lanes of their own
};

// The files of a run as one, trace/merged.json, with times on rank 0's clock; returns its path.
// Throws Error naming the file that is missing or no trace.
std::string merge_traces(const std::string& run_directory);
// The pipeline of one step as it ran (0: the last), as a picture (parallel/pipeline/draw).
std::string draw_trace(const std::string& run_directory, std::int64_t step);

}  // namespace lockstep
