// A stretch of a stream's ops as a graph: noted instead of run, then launched together. The
// executable graph of the last time is updated where the ops are the same and only their arguments
// changed, and made anew where not (CUDA C++ Programming Guide, "Updating Instantiated Graphs"):
// what was launched before keeps its arguments.
#pragma once

#include <cuda_runtime_api.h>

namespace lockstep::cuda {

class Capture {
 public:
  explicit Capture(cudaStream_t stream) : stream_(stream) {}

  bool active() const { return active_; }
  void begin();
  // True when `executable` (null: none yet) was made anew.
  bool launch(cudaGraphExec_t& executable);
  void drop();     // what was noted is forgotten
  void run_now();  // what was noted runs, and what comes next one by one

 private:
  cudaGraph_t end();

  cudaStream_t stream_;
  bool active_ = false;
};

}  // namespace lockstep::cuda
