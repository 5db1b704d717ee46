#include "core/ops/op_log.hpp"

#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

namespace lockstep {
namespace {

// An op knows neither run nor rank, so its log belongs to the thread.
thread_local std::optional<std::vector<OpEvent>> events;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

void start_op_log() { events.emplace(); }

std::vector<OpEvent> take_op_log() {
  if (!events) return {};
  return std::exchange(*events, {});
}

OpTimer::OpTimer(Device device, const char* call, double flops)
    : call_(events && device.kind == Device::Kind::cpu ? call : nullptr), flops_(flops) {
  if (call_ != nullptr) begin_ = now();
}

OpTimer::~OpTimer() {
  if (call_ == nullptr) return;
  events->push_back({std::string(call_, std::strcspn(call_, "(")), begin_, now(), flops_});
}

}  // namespace lockstep
