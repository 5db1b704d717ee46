// Ops dispatch as all else that knows devices does, and are noted in the thread's log of ops.
#pragma once

#include "core/dispatch.hpp"
#include "core/ops/op_log.hpp"

#define LOCKSTEP_OP_OF(flops_, device_, ...)                              \
  (static_cast<void>(::lockstep::OpTimer(device_, #__VA_ARGS__, flops_)), \
   LOCKSTEP_DISPATCH(device_, __VA_ARGS__))
#define LOCKSTEP_OP(device_, ...) LOCKSTEP_OP_OF(0, device_, __VA_ARGS__)
