#include "core/cuda/attention_plans.hpp"

#include <limits>
#include <map>
#include <optional>

#include "core/cuda/attention_graph.hpp"
#include "core/cuda/runtime.hpp"
#include "core/error.hpp"
#include "core/tensor.hpp"

namespace lockstep::cuda {
namespace {

// A graph that an engine has compiled, or why none did. What the execution was made of is kept
// beside it: the library does not say that it may go.
struct Plan {
  std::string refused;
  std::optional<AttentionGraph> graph;
  std::optional<AttentionEngines> engines;
  std::optional<CudnnDescriptor> execution;
  std::int64_t workspace_bytes = 0;
};

// The first engine, in the library's order, that can be compiled.
void compile(Plan& plan, const AttentionShape& shape, cudnnHandle_t handle) {
  plan.graph.emplace(shape);
  plan.engines.emplace(engines_of(*plan.graph, handle));
  plan.refused = "cuDNN has no engine for these sizes on this GPU";
  for (const CudnnDescriptor& configuration : plan.engines->configurations) {
    try {
      CudnnDescriptor execution(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      execution.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle)
          .set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration)
          .finalize();
      plan.workspace_bytes = execution.integer(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
      plan.execution = std::move(execution);
      plan.refused.clear();
      return;
    } catch (const Error& error) {
      plan.refused = error.what();
    }
  }
}

// Pointers by port, for one execution.
class Binding {
 public:
  void bind(Port port, const void* pointer) {
    ids_.push_back(static_cast<std::int64_t>(port));
    pointers_.push_back(const_cast<void*>(pointer));  // the C API takes inputs and outputs alike
  }
  CudnnDescriptor pack(void* workspace) const {
    CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids_)
        .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers_)
        .set_pointer(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace)
        .finalize();
    return pack;
  }

 private:
  std::vector<std::int64_t> ids_;
  std::vector<void*> pointers_;
};

}  // namespace

std::string cudnn_found() {
  if (!cudnn().missing.empty()) return cudnn().missing;
  const std::size_t version = cudnn().version();
  return build_string(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

struct AttentionPlans::State {
  cudnnHandle_t handle = nullptr;  // lives as long as the process, like the Runtime
  std::map<AttentionShape, Plan> plans;

  const Plan& plan(Runtime& runtime, const AttentionShape& shape) {
    const auto found = plans.find(shape);
    if (found != plans.end()) return found->second;
    runtime.stop_noting();
    Plan& plan = plans[shape];
    try {
      if (handle == nullptr) handle = make_cudnn_handle(runtime.stream());
      compile(plan, shape, handle);
    } catch (const Error& error) {
      plan.refused = error.what();
    }
    return plan;
  }
};

AttentionPlans::AttentionPlans() : state_(std::make_unique<State>()) {}
AttentionPlans::~AttentionPlans() = default;

std::string AttentionPlans::why_not(Runtime& runtime, const AttentionShape& shape) {
  if (!cudnn().missing.empty()) return cudnn().missing;
  return state_->plan(runtime, shape).refused;
}

index_t AttentionPlans::scratch_bytes(Runtime& runtime, const AttentionShape& shape) {
  const index_t num_rows = shape.B * shape.NH * shape.T;
  const index_t dots = shape.backward ? num_rows : 0;
  const index_t dq_sum = shape.backward && !shape.deterministic ? num_rows * shape.HS : 0;
  return state_->plan(runtime, shape).workspace_bytes +
         (dots + dq_sum) * static_cast<index_t>(size_of(DType::f32));
}

void AttentionPlans::run(Runtime& runtime,
                         const AttentionShape& shape,
                         const AttentionBuffers& buffers) {
  const Plan& plan = state_->plan(runtime, shape);
  require(plan.refused.empty(), plan.refused);
  const Device device = runtime.device();
  const auto scale = static_cast<float>(buffers.scale);
  const auto inverse_factor = static_cast<float>(1.0 - buffers.dropout);
  const auto factor = static_cast<float>(1.0 / (1.0 - buffers.dropout));
  const float minus_infinity = -std::numeric_limits<float>::infinity();
  const index_t num_rows = shape.B * shape.NH * shape.T;
  Tensor dots, dq_sum;  // until the engine is done: memory is used again in the stream's order

  Binding binding;
  binding.bind(Port::q, buffers.q);
  binding.bind(Port::k, buffers.k);
  binding.bind(Port::v, buffers.v);
  binding.bind(Port::y, buffers.y);
  binding.bind(Port::lse, buffers.lse);
  binding.bind(Port::scale, &scale);
  if (shape.lengths || shape.causal) binding.bind(Port::minus_infinity, &minus_infinity);
  if (shape.lengths) {
    binding.bind(Port::query_lengths, buffers.lengths);
    binding.bind(Port::key_lengths, buffers.lengths);
  }
  if (shape.dropout) {
    binding.bind(Port::mask, buffers.mask);
    binding.bind(Port::factor, &factor);
  }
  if (shape.backward) {
    dots = Tensor::empty({num_rows}, DType::f32, device);
    binding.bind(Port::inverse_factor, &inverse_factor);
    binding.bind(Port::dots, dots.raw());
    binding.bind(Port::dy, buffers.dy);
    binding.bind(Port::dq, buffers.dq);
    binding.bind(Port::dk, buffers.dk);
    binding.bind(Port::dv, buffers.dv);
  }
  if (shape.backward && !shape.deterministic) {
    dq_sum = Tensor::empty({num_rows * shape.HS}, DType::f32, device);
    binding.bind(Port::dq_sum, dq_sum.raw());
  }
  Tensor workspace = Tensor::empty({plan.workspace_bytes}, DType::u8, device);
  execute_cudnn(state_->handle, *plan.execution, binding.pack(workspace.raw()));
}

}  // namespace lockstep::cuda
