// What a process holds of one GPU: a stream on which ops and their copies run in order, two streams
// for copies beside them, the arena all tensors lie in, and cuBLASLt with its workspace.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "core/cuda/arena.hpp"
#include "core/cuda/attention_plans.hpp"
#include "core/cuda/capture.hpp"
#include "core/cuda/matmul.hpp"
#include "core/device.hpp"

namespace lockstep::cuda {

class Runtime {
 public:
  // 32 MiB: what cuBLASLt's kernels for Hopper may ask for.
  static constexpr std::size_t workspace_bytes = std::size_t{32} << 20;

  // Made at first use, never destroyed: tensors in static storage may outlive any order. Makes the
  // GPU the calling thread's current one.
  static Runtime& of(Device device);

  Device device() const { return device_; }
  cudaStream_t stream() const { return stream_; }
  cublasLtHandle_t cublas() const { return cublas_; }
  // Of the stream: kernels that use it run one after the other.
  void* workspace() const { return workspace_; }
  MatmulPlans& matmuls() { return matmuls_; }
  AttentionPlans& attentions() { return attentions_; }

  std::byte* allocate(std::size_t bytes);
  void release(std::byte* pointer);
  MemoryUse memory_use();

  // Page-locked CPU memory, recycled by size: locking takes milliseconds.
  void* allocate_staging(std::size_t bytes);
  void release_staging(void* pointer, std::size_t bytes);

  // In the order of the ops, by way of page-locked memory: `from` is free on return, and the host
  // does not wait for the GPU.
  void upload(void* to, const void* from, std::size_t bytes);

  // Notes the stream's ops for a graph.
  Capture& capture() { return capture_; }
  // For what must not happen while ops are noted (a library that loads kernels or waits): those
  // noted run now, the rest of them one by one. Nothing otherwise.
  void stop_noting();
  // Once a graph is launched or dropped: what its uploads read can be used again, in its time.
  void release_captured_uploads();

  CopyTicket start_copy_out(void* to, const void* from, std::size_t bytes, CopyTicket after);
  CopyTicket start_copy_in(void* to, const void* from, std::size_t bytes, CopyTicket after);
  CopyTicket start_waiting();
  // What is asked of `stream` from now on comes after what the ticket waits for.
  void hold(cudaStream_t stream, CopyTicket ticket);
  bool done(CopyTicket ticket);

 private:
  struct Upload {
    CopyTicket ticket;  // done: the memory is free again
    void* staging;
    std::size_t bytes;
  };

  explicit Runtime(Device device);

  void grow(std::size_t bytes);
  CopyTicket start_copy(cudaStream_t stream,
                        void* to,
                        const void* from,
                        std::size_t bytes,
                        CopyTicket after);
  cudaEvent_t take_event();
  CopyTicket ticket_of(cudaEvent_t event);

  Device device_;
  cudaStream_t stream_ = nullptr, out_ = nullptr, in_ = nullptr;
  cublasLtHandle_t cublas_ = nullptr;
  void* workspace_ = nullptr;
  MatmulPlans matmuls_;
  AttentionPlans attentions_;
  Capture capture_;

  std::mutex uploads_mutex_;  // of the two below
  std::deque<Upload> uploads_;
  std::vector<Upload> captured_uploads_;  // of the graph that is being noted

  std::mutex mutex_;  // of all below
  Arena arena_;
  std::size_t num_segments_ = 0;
  std::map<std::size_t, std::vector<void*>> free_staging_;
  std::map<CopyTicket, cudaEvent_t> under_way_;
  std::vector<cudaEvent_t> free_events_;
  CopyTicket next_ticket_ = 1;
};

}  // namespace lockstep::cuda
