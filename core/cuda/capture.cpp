#include "core/cuda/capture.hpp"

#include <cassert>
#include <utility>

#include "core/cuda/check.hpp"

namespace lockstep::cuda {
namespace {

bool updated(cudaGraphExec_t executable, cudaGraph_t graph) {
  if (executable == nullptr) return false;
  cudaGraphExecUpdateResultInfo info{};
  const cudaError_t code = cudaGraphExecUpdate(executable, graph, &info);
  if (code == cudaErrorGraphExecUpdateFailure) {
    (void)cudaGetLastError();  // not for the next kernel's check
    return false;
  }
  check(code);
  return true;
}

}  // namespace

// Relaxed: the arena may grow meanwhile, and other threads use CUDA as they like.
void Capture::begin() {
  assert(!active_);
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed));
  active_ = true;
}

cudaGraph_t Capture::end() {
  active_ = false;
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream_, &graph));
  return graph;
}

bool Capture::launch(cudaGraphExec_t& executable) {
  cudaGraph_t graph = end();
  const bool anew = !updated(executable, graph);
  if (anew) {
    if (executable != nullptr) check(cudaGraphExecDestroy(std::exchange(executable, nullptr)));
    check(cudaGraphInstantiate(&executable, graph, 0));
  }
  check(cudaGraphDestroy(graph));
  check(cudaGraphLaunch(executable, stream_));
  return anew;
}

void Capture::run_now() {
  cudaGraph_t graph = end();
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiate(&executable, graph, 0));
  check(cudaGraphDestroy(graph));
  check(cudaGraphLaunch(executable, stream_));
  check(cudaGraphExecDestroy(executable));  // freed when it has run
}

void Capture::drop() {
  active_ = false;
  cudaGraph_t graph = nullptr;
  const cudaError_t code = cudaStreamEndCapture(stream_, &graph);  // invalidated: no graph
  if (code == cudaSuccess && graph != nullptr) (void)cudaGraphDestroy(graph);
  (void)cudaGetLastError();
}

}  // namespace lockstep::cuda
