#include "core/op_graph.hpp"

#include <utility>

#include "core/cuda/graph.hpp"
#include "core/dispatch.hpp"

namespace lockstep {
namespace cpu {
namespace {

// Ops of the CPU run when they are asked for.
void begin_graph(Device) {}
GraphLaunch launch_graph(Device, void*&) { return GraphLaunch::none; }
void drop_graph(Device) {}
void destroy_graph(Device, void*) {}

}  // namespace
}  // namespace cpu

namespace {

class Noting {
 public:
  explicit Noting(Device device) : device_(device) {
    LOCKSTEP_DISPATCH(device_, begin_graph(device_));
  }
  ~Noting() {
    if (!launched_) LOCKSTEP_DISPATCH(device_, drop_graph(device_));
  }
  Noting(const Noting&) = delete;
  Noting& operator=(const Noting&) = delete;

  GraphLaunch launch(void*& executable) {
    launched_ = true;
    return LOCKSTEP_DISPATCH(device_, launch_graph(device_, executable));
  }

 private:
  Device device_;
  bool launched_ = false;
};

}  // namespace

OpGraph::~OpGraph() {
  if (executable_ != nullptr) LOCKSTEP_DISPATCH(device_, destroy_graph(device_, executable_));
}

void OpGraph::run(const std::function<void()>& ops) {
  if (!on_ || plain_ < plain_runs) {
    ++plain_;
    return ops();
  }
  Noting noting(device_);
  ops();
  const GraphLaunch launch = noting.launch(executable_);
  if (launch == GraphLaunch::anew) ++made_;
  if (launch != GraphLaunch::none) ++launched_;
}

}  // namespace lockstep
