// In place of attention_plans.cpp where the build did not find cuDNN's header.
#include "core/cuda/attention_plans.hpp"
#include "core/error.hpp"

namespace lockstep::cuda {
namespace {

constexpr const char* absent = "this build was made without cuDNN's header cudnn_graph.h";

}  // namespace

std::string cudnn_found() { return absent; }

struct AttentionPlans::State {};

AttentionPlans::AttentionPlans() = default;
AttentionPlans::~AttentionPlans() = default;

std::string AttentionPlans::why_not(Runtime&, const AttentionShape&) { return absent; }

index_t AttentionPlans::scratch_bytes(Runtime&, const AttentionShape&) { return 0; }

void AttentionPlans::run(Runtime&, const AttentionShape&, const AttentionBuffers&) { fail(absent); }

}  // namespace lockstep::cuda
