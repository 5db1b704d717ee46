// Ops asked for again and again in the same order, launched on a GPU as one graph: no gaps between
// kernels, and a fraction of the cost of launching them. Their arguments may change each time. The
// host must not wait for the device while it asks for them: numbers that come back are read
// afterwards.
#pragma once

#include <cstdint>
#include <functional>

#include "core/device.hpp"

namespace lockstep {

class OpGraph {
 public:
  OpGraph() = default;  // off: run() calls
  explicit OpGraph(Device device) : device_(device), on_(device.kind == Device::Kind::cuda) {}
  ~OpGraph();
  OpGraph(const OpGraph&) = delete;
  OpGraph& operator=(const OpGraph&) = delete;

  // Calls ops. The first two times they run one by one: libraries then choose their algorithms.
  // Later they are noted, and run when ops returns; when it throws, none of them runs. A library
  // that must prepare a shape it has not met ends the noting: the ops so far run, and the rest one
  // by one.
  void run(const std::function<void()>& ops);

  std::int64_t num_made() const { return made_; }  // graphs made anew, not only updated
  std::int64_t num_launched() const { return launched_; }

 private:
  static constexpr int plain_runs = 2;

  Device device_;
  bool on_ = false;
  int plain_ = 0;
  std::int64_t made_ = 0, launched_ = 0;
  void* executable_ = nullptr;
};

}  // namespace lockstep
