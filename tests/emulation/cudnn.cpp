// The library libcudnn.so.9 as far as Lockstep knows it: descriptors with their attributes, one
// engine that takes any graph of the operations in cudnn_operations.hpp, and its execution on the
// emulated stream. Misuse that cuDNN would punish later is refused at once.
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "tests/emulation/cudnn_operations.hpp"
#include "tests/emulation/include/cuda_runtime.h"

struct cudnnContext {
  cudaStream_t stream = nullptr;
};

namespace emulation {
namespace {

struct Descriptor;

struct Attribute {
  cudnnBackendAttributeType_t type;
  std::int64_t count;
  std::vector<char> bytes;
};

struct Graph {
  std::vector<GraphOperation> operations;
  std::map<std::int64_t, std::shared_ptr<const GraphTensor>> tensors;  // by id
};

struct Descriptor {
  explicit Descriptor(cudnnBackendDescriptorType_t type) : type(type) {}

  cudnnBackendDescriptorType_t type;
  bool finalized = false;
  std::map<int, Attribute> attributes;
  // What finalizing made of them.
  std::shared_ptr<const GraphTensor> tensor;
  std::shared_ptr<const GraphOperation> operation;
  std::shared_ptr<const Graph> graph;
};

constexpr std::int64_t workspace_bytes = 1000;

std::string& last_error() {
  static std::string words;
  return words;
}

// Thrown inside, a status outside.
struct Refusal {
  cudnnStatus_t status;
  const char* words;
};

void demand(bool ok, const char* words, cudnnStatus_t status = CUDNN_STATUS_BAD_PARAM) {
  if (!ok) throw Refusal{status, words};
}

template <typename F>
cudnnStatus_t guarded(const F& f) {
  try {
    f();
    return CUDNN_STATUS_SUCCESS;
  } catch (const Refusal& refusal) {
    last_error() = refusal.words;
    return refusal.status;
  }
}

Descriptor& of(cudnnBackendDescriptor_t descriptor) {
  demand(descriptor != nullptr, "no descriptor");
  return *static_cast<Descriptor*>(descriptor);
}

std::size_t size_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_INT64:
      return 8;
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
      return 1;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return sizeof(void*);
    default:
      return sizeof(int);
  }
}

template <typename T>
std::vector<T> list(const Descriptor& descriptor,
                    cudnnBackendAttributeName_t name,
                    cudnnBackendAttributeType_t type) {
  const auto found = descriptor.attributes.find(name);
  if (found == descriptor.attributes.end()) return {};
  demand(found->second.type == type, "an attribute has another type");
  std::vector<T> values(static_cast<std::size_t>(found->second.count));
  for (std::size_t i = 0; i < values.size(); ++i)
    std::memcpy(&values[i], found->second.bytes.data() + i * sizeof(T), sizeof(T));
  return values;
}

template <typename T>
T one(const Descriptor& descriptor,
      cudnnBackendAttributeName_t name,
      cudnnBackendAttributeType_t type) {
  const auto values = list<T>(descriptor, name, type);
  demand(values.size() == 1, "an attribute is missing");
  return values[0];
}

// Null when it was not set.
const Descriptor* part(const Descriptor& descriptor, cudnnBackendAttributeName_t name) {
  const auto values = list<Descriptor*>(descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR);
  if (values.empty()) return nullptr;
  demand(values.size() == 1 && values[0]->finalized, "a descriptor is not finalized");
  return values[0];
}

const Descriptor& needed(const Descriptor& descriptor, cudnnBackendAttributeName_t name) {
  const Descriptor* found = part(descriptor, name);
  demand(found != nullptr, "a descriptor is missing");
  return *found;
}

std::shared_ptr<const GraphTensor> tensor_if(const Descriptor& descriptor,
                                             cudnnBackendAttributeName_t name) {
  const Descriptor* found = part(descriptor, name);
  demand(found == nullptr || found->tensor != nullptr, "a descriptor is not a tensor's");
  return found == nullptr ? nullptr : found->tensor;
}

std::shared_ptr<const GraphTensor> tensor(const Descriptor& descriptor,
                                          cudnnBackendAttributeName_t name) {
  auto found = tensor_if(descriptor, name);
  demand(found != nullptr, "a tensor is missing");
  return found;
}

Four four(const Descriptor& descriptor, cudnnBackendAttributeName_t name) {
  const auto values = list<std::int64_t>(descriptor, name, CUDNN_TYPE_INT64);
  demand(values.size() == 4, "a tensor has four dimensions here");
  Four all{};
  std::copy(values.begin(), values.end(), all.begin());
  return all;
}

void finalize_tensor(Descriptor& d) {
  auto t = std::make_shared<GraphTensor>();
  t->sizes = four(d, CUDNN_ATTR_TENSOR_DIMENSIONS);
  t->strides = four(d, CUDNN_ATTR_TENSOR_STRIDES);
  t->id = one<std::int64_t>(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64);
  t->alignment = one<std::int64_t>(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64);
  t->type = one<cudnnDataType_t>(d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE);
  t->is_virtual = one<char>(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN) != 0;
  t->by_value = one<char>(d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN) != 0;
  demand(*std::min_element(t->sizes.begin(), t->sizes.end()) > 0, "a size is not positive");
  demand(!t->by_value || (!t->is_virtual && t->type == CUDNN_DATA_FLOAT && t->span() == 1),
         "by value goes one float");
  d.tensor = t;
}

void finalize_pointwise(Descriptor& d) {
  const Descriptor& how = needed(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
  GraphOperation op;
  op.mode = one<cudnnPointwiseMode_t>(how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE);
  op.x = tensor(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
  op.y = tensor(d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
  op.b = tensor_if(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
  op.t = tensor_if(d, CUDNN_ATTR_OPERATION_POINTWISE_TDESC);
  const bool alone = op.mode == CUDNN_POINTWISE_EXP || op.mode == CUDNN_POINTWISE_LOG ||
                     op.mode == CUDNN_POINTWISE_IDENTITY || op.mode == CUDNN_POINTWISE_GEN_INDEX;
  demand(alone == (op.b == nullptr), "a pointwise operation has a wrong number of inputs");
  demand((op.mode == CUDNN_POINTWISE_BINARY_SELECT) == (op.t != nullptr),
         "a selection, and nothing else, has a selector");
  if (op.mode == CUDNN_POINTWISE_GEN_INDEX) {
    op.axis = one<std::int64_t>(how, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64);
    demand(op.axis >= 0 && op.axis < 4, "no such axis");
  }
  d.operation = std::make_shared<GraphOperation>(op);
}

void finalize_matmul(Descriptor& d) {
  needed(d, CUDNN_ATTR_OPERATION_MATMUL_DESC);
  GraphOperation op;
  op.kind = GraphOperation::Kind::matmul;
  op.x = tensor(d, CUDNN_ATTR_OPERATION_MATMUL_ADESC);
  op.b = tensor(d, CUDNN_ATTR_OPERATION_MATMUL_BDESC);
  op.y = tensor(d, CUDNN_ATTR_OPERATION_MATMUL_CDESC);
  op.m = tensor_if(d, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC);
  op.n = tensor_if(d, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC);
  op.k = tensor_if(d, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC);
  d.operation = std::make_shared<GraphOperation>(op);
}

void finalize_reduction(Descriptor& d) {
  const Descriptor& how = needed(d, CUDNN_ATTR_OPERATION_REDUCTION_DESC);
  GraphOperation op;
  op.kind = GraphOperation::Kind::reduction;
  op.reduction = one<cudnnReduceTensorOp_t>(how, CUDNN_ATTR_REDUCTION_OPERATOR,
                                            CUDNN_TYPE_REDUCTION_OPERATOR_TYPE);
  op.x = tensor(d, CUDNN_ATTR_OPERATION_REDUCTION_XDESC);
  op.y = tensor(d, CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
  d.operation = std::make_shared<GraphOperation>(op);
}

void finalize_reshape(Descriptor& d) {
  GraphOperation op;
  op.kind = GraphOperation::Kind::reshape;
  op.x = tensor(d, CUDNN_ATTR_OPERATION_RESHAPE_XDESC);
  op.y = tensor(d, CUDNN_ATTR_OPERATION_RESHAPE_YDESC);
  d.operation = std::make_shared<GraphOperation>(op);
}

// Ids stand for one tensor each; what is virtual is computed before it is read.
void finalize_graph(Descriptor& d) {
  auto graph = std::make_shared<Graph>();
  std::set<std::int64_t> computed;
  for (const Descriptor* operation :
       list<Descriptor*>(d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR)) {
    demand(operation->finalized && operation->operation != nullptr, "not an operation");
    const GraphOperation& op = *operation->operation;
    if (const char* words = why_not(op)) demand(false, words, CUDNN_STATUS_NOT_SUPPORTED);
    for (const auto& x : {op.x, op.b, op.t, op.m, op.n, op.k}) {
      if (x == nullptr) continue;
      demand(!x->is_virtual || computed.count(x->id) == 1,
             "a virtual tensor is read before it is computed");
      demand(graph->tensors.emplace(x->id, x).first->second == x, "an id stands for two tensors");
    }
    demand(graph->tensors.emplace(op.y->id, op.y).first->second == op.y,
           "an id stands for two tensors");
    demand(computed.insert(op.y->id).second, "a tensor is computed twice");
    graph->operations.push_back(op);
  }
  demand(!graph->operations.empty(), "a graph without operations");
  d.graph = graph;
}

void finalize(Descriptor& d) {
  demand(!d.finalized, "finalized twice");
  // Its kernels are loaded then, which may wait for the device.
  demand(d.type != CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR || !any_capture(),
         "a plan is made while a stream is captured", CUDNN_STATUS_EXECUTION_FAILED);
  switch (d.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      finalize_tensor(d);
      break;
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
      finalize_pointwise(d);
      break;
    case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR:
      finalize_matmul(d);
      break;
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
      finalize_reduction(d);
      break;
    case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR:
      finalize_reshape(d);
      break;
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      finalize_graph(d);
      break;
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
      d.graph = needed(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).graph;
      break;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      d.graph = needed(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).graph;
      break;
    default:
      break;
  }
  d.finalized = true;
}

// Each tensor in memory has a pointer, to where it says it is, and nothing else has one.
void run(cudaStream_t stream, const std::shared_ptr<const Graph>& graph, const Descriptor& pack) {
  const auto ids = list<std::int64_t>(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64);
  const auto addresses =
      list<void*>(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR);
  demand(ids.size() == addresses.size(), "as many ids as pointers");
  demand(on_device(one<void*>(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR)),
         "no workspace");
  std::map<std::int64_t, void*> pointers;
  std::map<std::int64_t, double> numbers;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto found = graph->tensors.find(ids[i]);
    demand(found != graph->tensors.end() && !found->second->is_virtual, "an id of no tensor");
    const GraphTensor& tensor = *found->second;
    if (tensor.by_value) {
      demand(!on_device(addresses[i]), "a number by value is in device memory");
      numbers[ids[i]] = static_cast<double>(*static_cast<const float*>(addresses[i]));
      continue;
    }
    demand(on_device(addresses[i]), "a tensor is not in device memory");
    demand(reinterpret_cast<std::uintptr_t>(addresses[i]) %
                   static_cast<std::uintptr_t>(tensor.alignment) ==
               0,
           "a tensor is not aligned");
    pointers[ids[i]] = addresses[i];
  }
  for (const auto& [id, tensor] : graph->tensors) {
    demand(tensor->is_virtual || pointers.count(id) + numbers.count(id) == 1,
           "a tensor has no pointer");
  }
  enqueue(stream, [graph, pointers, numbers] { execute(graph->operations, pointers, numbers); });
}

}  // namespace
}  // namespace emulation

using namespace emulation;

std::size_t cudnnGetVersion() { return 91900; }

const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_EXECUTION_FAILED:
      return "CUDNN_STATUS_EXECUTION_FAILED";
    default:
      return "CUDNN_STATUS_BAD_PARAM";
  }
}

void cudnnGetLastErrorString(char* message, std::size_t most) {
  std::strncpy(message, last_error().c_str(), most);
}

// It takes memory of the device and sets it, on a stream of its own.
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  if (any_capture()) return CUDNN_STATUS_EXECUTION_FAILED;
  *handle = new cudnnContext;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  *descriptor = new Descriptor(type);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete static_cast<Descriptor*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  return guarded([&] { finalize(of(descriptor)); });
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type,
                                       std::int64_t count,
                                       const void* values) {
  return guarded([&] {
    Descriptor& d = of(descriptor);
    demand(!d.finalized, "an attribute is set after finalizing");
    const auto* bytes = static_cast<const char*>(values);
    const auto length = static_cast<std::size_t>(count) * size_of(type);
    d.attributes[name] = {type, count, std::vector<char>(bytes, bytes + length)};
  });
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t,
                                       std::int64_t most,
                                       std::int64_t* count,
                                       void* values) {
  return guarded([&] {
    Descriptor& d = of(descriptor);
    demand(d.finalized, "an attribute is read before finalizing");
    *count = 1;
    if (most == 0) return;
    if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) {
      std::memcpy(values, &workspace_bytes, sizeof workspace_bytes);
      return;
    }
    demand(name == CUDNN_ATTR_ENGINEHEUR_RESULTS, "no such attribute");
    Descriptor& engine = of(*static_cast<cudnnBackendDescriptor_t*>(values));
    demand(engine.type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "not an engine's configuration");
    engine.graph = d.graph;
    engine.finalized = true;
  });
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle,
                                  cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack) {
  return guarded([&] {
    demand(of(plan).finalized && of(plan).graph != nullptr, "not a finalized plan");
    demand(of(pack).finalized, "a variant pack is not finalized");
    run(handle->stream, of(plan).graph, of(pack));
  });
}
