// cuDNN's graph interface (its "backend" C API), in the house's manner: descriptors with owners,
// and errors as Error with the library's own words. The library is loaded at run time; only its
// header is needed to build.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <cudnn_graph.h>

namespace lockstep::cuda {

// Loaded at first use, never unloaded. A function may be called when `missing` is empty.
struct CudnnLibrary {
  std::string missing;  // why it is not there, or of no use
  std::size_t (*version)() = nullptr;
  const char* (*error_string)(cudnnStatus_t) = nullptr;
  void (*last_error)(char*, std::size_t) = nullptr;
  cudnnStatus_t (*create)(cudnnHandle_t*) = nullptr;
  cudnnStatus_t (*set_stream)(cudnnHandle_t, cudaStream_t) = nullptr;
  cudnnStatus_t (*create_descriptor)(cudnnBackendDescriptorType_t,
                                     cudnnBackendDescriptor_t*) = nullptr;
  cudnnStatus_t (*destroy_descriptor)(cudnnBackendDescriptor_t) = nullptr;
  cudnnStatus_t (*finalize)(cudnnBackendDescriptor_t) = nullptr;
  cudnnStatus_t (*set_attribute)(cudnnBackendDescriptor_t,
                                 cudnnBackendAttributeName_t,
                                 cudnnBackendAttributeType_t,
                                 std::int64_t,
                                 const void*) = nullptr;
  cudnnStatus_t (*get_attribute)(cudnnBackendDescriptor_t,
                                 cudnnBackendAttributeName_t,
                                 cudnnBackendAttributeType_t,
                                 std::int64_t,
                                 std::int64_t*,
                                 void*) = nullptr;
  cudnnStatus_t (*execute)(cudnnHandle_t,
                           cudnnBackendDescriptor_t,
                           cudnnBackendDescriptor_t) = nullptr;
};
const CudnnLibrary& cudnn();

// One descriptor of the backend. Setters return it, so that attributes can be written in a row.
class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type);
  CudnnDescriptor(CudnnDescriptor&& other) noexcept;
  CudnnDescriptor& operator=(CudnnDescriptor&& other) noexcept;
  ~CudnnDescriptor();

  cudnnBackendDescriptor_t get() const { return descriptor_; }

  CudnnDescriptor& set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name,
                       const std::vector<const CudnnDescriptor*>& values);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, std::int64_t value);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, bool value);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnDataType_t value);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnPointwiseMode_t value);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnReduceTensorOp_t value);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendHeurMode_t value);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnHandle_t value);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, const std::string& text);
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, const std::vector<void*>& pointers);
  CudnnDescriptor& set_pointer(cudnnBackendAttributeName_t name, void* pointer);
  CudnnDescriptor& finalize();  // no attribute is set afterwards

  std::int64_t integer(cudnnBackendAttributeName_t name) const;
  // Descriptors that the library makes: as many as it has.
  std::vector<CudnnDescriptor> list(cudnnBackendAttributeName_t name,
                                    cudnnBackendDescriptorType_t type) const;

 private:
  CudnnDescriptor& set(cudnnBackendAttributeName_t name,
                       cudnnBackendAttributeType_t type,
                       std::size_t count,
                       const void* values);

  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

// Never destroyed.
cudnnHandle_t make_cudnn_handle(cudaStream_t stream);
void execute_cudnn(cudnnHandle_t handle, const CudnnDescriptor& plan, const CudnnDescriptor& pack);

}  // namespace lockstep::cuda
