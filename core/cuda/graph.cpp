#include "core/cuda/graph.hpp"

#include "core/cuda/check.hpp"
#include "core/cuda/runtime.hpp"

namespace lockstep::cuda {

void begin_graph(Device device) { Runtime::of(device).capture().begin(); }

GraphLaunch launch_graph(Device device, void*& executable) {
  Runtime& runtime = Runtime::of(device);
  if (!runtime.capture().active()) return GraphLaunch::none;
  auto graph = static_cast<cudaGraphExec_t>(executable);
  const bool anew = runtime.capture().launch(graph);
  executable = graph;
  runtime.release_captured_uploads();
  return anew ? GraphLaunch::anew : GraphLaunch::updated;
}

void drop_graph(Device device) {
  Runtime& runtime = Runtime::of(device);
  if (!runtime.capture().active()) return;
  runtime.capture().drop();
  runtime.release_captured_uploads();
}

void destroy_graph(Device device, void* executable) {
  (void)Runtime::of(device);  // makes it current
  check(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable)));
}

}  // namespace lockstep::cuda
