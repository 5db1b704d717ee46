// The one dispatch by device, and the only place that knows whether CUDA was built.
//
//   void gelu_forward(Tensor& y, const Tensor& x) { LOCKSTEP_DISPATCH(x.device(), gelu_forward(y,
//   x)); }
//
// picks cuda::gelu_forward or cpu::gelu_forward. Without CUDA the cuda:: name is never formed, so
// no stub is needed: a declared, never defined cuda:: function links in a CPU build
// (dispatch_test).
#pragma once

#include "core/device.hpp"
#include "core/error.hpp"

namespace lockstep {

inline void require_cpu(Device device) {
  require(device.kind == Device::Kind::cpu, "this build has no CUDA back end: ", to_string(device),
          " asked for; use --device cpu or build with the preset cuda");
}

}  // namespace lockstep

#ifdef LOCKSTEP_WITH_CUDA
namespace lockstep {
inline constexpr bool built_with_cuda = true;
}
#define LOCKSTEP_DISPATCH(device_, ...) \
  ((device_).kind == ::lockstep::Device::Kind::cuda ? cuda::__VA_ARGS__ : cpu::__VA_ARGS__)
#else
namespace lockstep {
inline constexpr bool built_with_cuda = false;
}
#define LOCKSTEP_DISPATCH(device_, ...) (::lockstep::require_cpu(device_), cpu::__VA_ARGS__)
#endif
