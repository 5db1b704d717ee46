// The most that a rank keeps between its passes under a schedule, in bytes: each of its virtual
// stages keeps so much of a microbatch from F on, and so much from B to W where these are apart.
#pragma once

#include <vector>

#include "core/model/activation_plan.hpp"
#include "parallel/pipeline/action.hpp"

namespace lockstep {

// stages: of every virtual stage, in model order.
index_t planned_peak_bytes(const Schedule& schedule,
                           int rank,
                           const std::vector<ActivationBytes>& stages);

}  // namespace lockstep
