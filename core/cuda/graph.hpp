// What core/op_graph.hpp needs of a GPU. No CUDA header: every build includes this, the CUDA builds
// define it.
#pragma once

#include "core/device.hpp"

namespace lockstep {

// none: what was noted has run already.
enum class GraphLaunch { none, updated, anew };

}  // namespace lockstep

namespace lockstep::cuda {

void begin_graph(Device device);
// executable: of the last launch, null at first.
GraphLaunch launch_graph(Device device, void*& executable);
void drop_graph(Device device);
void destroy_graph(Device device, void* executable);

}  // namespace lockstep::cuda
