#include "core/cuda/cudnn.hpp"

#include <array>
#include <dlfcn.h>
#include <exception>
#include <utility>

#include "core/error.hpp"

namespace lockstep::cuda {
namespace {

// Before 9.16 attention without lengths was wrong where the sequence is no multiple of 128 (says
// cuDNN's own frontend); before 9.10 a score of -inf was not to be used as a mask.
constexpr std::size_t oldest_version = 91600;

template <typename Function>
void find(CudnnLibrary& library, void* handle, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(handle, name));
  if (function == nullptr && library.missing.empty())
    library.missing = build_string("libcudnn.so.9 has no ", name);
}

CudnnLibrary load() {
  CudnnLibrary library;
  void* handle = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    library.missing = build_string("cuDNN (libcudnn.so.9) is not there: ", dlerror());
    return library;
  }
  find(library, handle, "cudnnGetVersion", library.version);
  find(library, handle, "cudnnGetErrorString", library.error_string);
  find(library, handle, "cudnnGetLastErrorString", library.last_error);
  find(library, handle, "cudnnCreate", library.create);
  find(library, handle, "cudnnSetStream", library.set_stream);
  find(library, handle, "cudnnBackendCreateDescriptor", library.create_descriptor);
  find(library, handle, "cudnnBackendDestroyDescriptor", library.destroy_descriptor);
  find(library, handle, "cudnnBackendFinalize", library.finalize);
  find(library, handle, "cudnnBackendSetAttribute", library.set_attribute);
  find(library, handle, "cudnnBackendGetAttribute", library.get_attribute);
  find(library, handle, "cudnnBackendExecute", library.execute);
  if (library.missing.empty() && library.version() < oldest_version)
    library.missing = build_string("cuDNN is ", library.version(), ", and ", oldest_version,
                                   " or later is needed");
  return library;
}

// The library's interface is C, but some of its paths throw: either way an Error comes out.
template <typename... P, typename... A>
void call(cudnnStatus_t (*function)(P...), A... arguments) {
  require(cudnn().missing.empty(), cudnn().missing);
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  try {
    status = function(arguments...);
  } catch (const std::exception& error) {
    fail("cuDNN: ", error.what());
  } catch (...) {
    fail("cuDNN ended a call in an unknown way");
  }
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 1024> words{};
  cudnn().last_error(words.data(), words.size() - 1);
  fail("cuDNN: ", cudnn().error_string(status), words[0] == '\0' ? "" : ": ", words.data());
}

}  // namespace

const CudnnLibrary& cudnn() {
  static const CudnnLibrary library = load();
  return library;
}

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) {
  call(cudnn().create_descriptor, type, &descriptor_);
}

CudnnDescriptor::CudnnDescriptor(CudnnDescriptor&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, nullptr)) {}

CudnnDescriptor& CudnnDescriptor::operator=(CudnnDescriptor&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

CudnnDescriptor::~CudnnDescriptor() {
  if (descriptor_ != nullptr) (void)cudnn().destroy_descriptor(descriptor_);
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name,
                                      cudnnBackendAttributeType_t type,
                                      std::size_t count,
                                      const void* values) {
  call(cudnn().set_attribute, descriptor_, name, type, static_cast<std::int64_t>(count), values);
  return *this;
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name,
                                      const CudnnDescriptor& value) {
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.descriptor_);
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name,
                                      const std::vector<const CudnnDescriptor*>& values) {
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const CudnnDescriptor* value : values) raw.push_back(value->get());
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, raw.size(), raw.data());
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name,
                                      const std::vector<std::int64_t>& values) {
  return set(name, CUDNN_TYPE_INT64, values.size(), values.data());
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, std::int64_t value) {
  return set(name, CUDNN_TYPE_INT64, 1, &value);
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, bool value) {
  return set(name, CUDNN_TYPE_BOOLEAN, 1, &value);
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
  return set(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name,
                                      cudnnPointwiseMode_t value) {
  return set(name, CUDNN_TYPE_POINTWISE_MODE, 1, &value);
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name,
                                      cudnnReduceTensorOp_t value) {
  return set(name, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &value);
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name,
                                      cudnnBackendHeurMode_t value) {
  return set(name, CUDNN_TYPE_HEUR_MODE, 1, &value);
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnHandle_t value) {
  return set(name, CUDNN_TYPE_HANDLE, 1, &value);
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, const std::string& text) {
  return set(name, CUDNN_TYPE_CHAR, text.size(), text.data());
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name,
                                      const std::vector<void*>& pointers) {
  return set(name, CUDNN_TYPE_VOID_PTR, pointers.size(), pointers.data());
}

CudnnDescriptor& CudnnDescriptor::set_pointer(cudnnBackendAttributeName_t name, void* pointer) {
  return set(name, CUDNN_TYPE_VOID_PTR, 1, &pointer);
}

CudnnDescriptor& CudnnDescriptor::finalize() {
  call(cudnn().finalize, descriptor_);
  return *this;
}

std::int64_t CudnnDescriptor::integer(cudnnBackendAttributeName_t name) const {
  std::int64_t value = 0, count = 0;
  call(cudnn().get_attribute, descriptor_, name, CUDNN_TYPE_INT64, std::int64_t{1}, &count, &value);
  return value;
}

std::vector<CudnnDescriptor> CudnnDescriptor::list(cudnnBackendAttributeName_t name,
                                                   cudnnBackendDescriptorType_t type) const {
  std::int64_t count = 0;
  call(cudnn().get_attribute, descriptor_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, std::int64_t{0},
       &count, nullptr);
  std::vector<CudnnDescriptor> all;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::int64_t i = 0; i < count; ++i) {
    all.emplace_back(type);
    raw.push_back(all.back().get());
  }
  std::int64_t filled = 0;
  call(cudnn().get_attribute, descriptor_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &filled,
       raw.data());
  all.erase(all.begin() + filled, all.end());
  return all;
}

cudnnHandle_t make_cudnn_handle(cudaStream_t stream) {
  cudnnHandle_t handle = nullptr;
  call(cudnn().create, &handle);
  call(cudnn().set_stream, handle, stream);
  return handle;
}

void execute_cudnn(cudnnHandle_t handle, const CudnnDescriptor& plan, const CudnnDescriptor& pack) {
  call(cudnn().execute, handle, plan.get(), pack.get());
}

}  // namespace lockstep::cuda
