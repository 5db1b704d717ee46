#include "core/cuda/runtime.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/cuda/check.hpp"
#include "core/error.hpp"

namespace lockstep::cuda {
namespace {

constexpr int most_gpus = 64;  // of one process; a node has 8 or 16
constexpr std::size_t smallest_segment = std::size_t{32} << 20;
constexpr std::size_t largest_extra = std::size_t{1} << 30;

cudaStream_t make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return stream;
}

}  // namespace

Runtime& Runtime::of(Device device) {
  static std::mutex mutex;
  static std::array<Runtime*, most_gpus> made{};
  require(device.index >= 0 && device.index < most_gpus, "no GPU number ", device.index);
  const std::lock_guard lock(mutex);
  Runtime*& runtime = made[static_cast<std::size_t>(device.index)];
  if (runtime == nullptr) {
    std::string reason;
    const int gpus = num_gpus(&reason);
    require(device.index < gpus, "--device cuda: ",
            gpus == 0 ? reason : build_string("no GPU number ", device.index, " among ", gpus));
    check(cudaSetDevice(device.index));
    runtime = new Runtime(device);
  } else {
    check(cudaSetDevice(device.index));
  }
  return *runtime;
}

Runtime::Runtime(Device device)
    : device_(device),
      stream_(make_stream()),
      out_(make_stream()),
      in_(make_stream()),
      capture_(stream_) {
  check(cublasLtCreate(&cublas_));
  check(cudaMalloc(&workspace_, workspace_bytes));
}

// A quarter more each time, so that a run of unknown needs settles after a few segments.
void Runtime::grow(std::size_t bytes) {
  const std::size_t needed = Arena::rounded(bytes);
  const std::size_t wished =
      std::max({needed, smallest_segment, std::min(arena_.reserved() / 4, largest_extra)});
  for (const std::size_t size : {Arena::rounded(wished), needed}) {
    void* segment = nullptr;
    if (cudaMalloc(&segment, size) == cudaSuccess) {
      arena_.add_segment(static_cast<std::byte*>(segment), size);
      ++num_segments_;
      return;
    }
    (void)cudaGetLastError();  // out of memory is reported below, not by the next kernel's check
  }
  std::size_t free_bytes = 0, all_bytes = 0;
  check(cudaMemGetInfo(&free_bytes, &all_bytes));
  fail("out of memory: ", bytes, " bytes on ", to_string(device_), ", ", arena_.in_use(),
       " bytes in use of ", arena_.reserved(), " taken, ", free_bytes, " of ", all_bytes,
       " free; use a smaller --microbatch-size, --recompute full, --zero 1 or more ranks");
}

std::byte* Runtime::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  std::byte* pointer = arena_.allocate(bytes);
  if (pointer == nullptr) {
    grow(bytes);
    pointer = arena_.allocate(bytes);
  }
  return pointer;
}

void Runtime::release(std::byte* pointer) {
  const std::lock_guard lock(mutex_);
  arena_.release(pointer);
}

MemoryUse Runtime::memory_use() {
  const std::lock_guard lock(mutex_);
  return {arena_.in_use(), arena_.peak(), arena_.reserved(), num_segments_};
}

void* Runtime::allocate_staging(std::size_t bytes) {
  const std::size_t size = std::bit_ceil(std::max(bytes, std::size_t{4096}));
  const std::lock_guard lock(mutex_);
  std::vector<void*>& free = free_staging_[size];
  if (!free.empty()) {
    void* pointer = free.back();
    free.pop_back();
    return pointer;
  }
  void* pointer = nullptr;
  if (cudaMallocHost(&pointer, size) == cudaSuccess) return pointer;
  (void)cudaGetLastError();
  fail("cannot lock ", size, " bytes of memory for copies to ", to_string(device_),
       "; raise the limit on locked memory (ulimit -l)");
}

void Runtime::release_staging(void* pointer, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  free_staging_[std::bit_ceil(std::max(bytes, std::size_t{4096}))].push_back(pointer);
}

void Runtime::upload(void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(uploads_mutex_);
  while (!uploads_.empty() && done(uploads_.front().ticket)) {
    release_staging(uploads_.front().staging, uploads_.front().bytes);
    uploads_.pop_front();
  }
  void* staging = allocate_staging(bytes);
  std::memcpy(staging, from, bytes);
  check(cudaMemcpyAsync(to, staging, bytes, cudaMemcpyDefault, stream_));
  if (capture_.active()) {
    captured_uploads_.push_back({0, staging, bytes});
  } else {
    uploads_.push_back({start_waiting(), staging, bytes});
  }
}

void Runtime::stop_noting() {
  if (!capture_.active()) return;
  capture_.run_now();
  release_captured_uploads();
}

void Runtime::release_captured_uploads() {
  const std::lock_guard lock(uploads_mutex_);
  if (captured_uploads_.empty()) return;
  const CopyTicket ticket = start_waiting();
  for (const Upload& upload : captured_uploads_)
    uploads_.push_back({ticket, upload.staging, upload.bytes});
  captured_uploads_.clear();
}

cudaEvent_t Runtime::take_event() {
  if (free_events_.empty()) {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return event;
  }
  cudaEvent_t event = free_events_.back();
  free_events_.pop_back();
  return event;
}

CopyTicket Runtime::ticket_of(cudaEvent_t event) {
  under_way_.emplace(next_ticket_, event);
  return next_ticket_++;
}

CopyTicket Runtime::start_copy(cudaStream_t stream,
                               void* to,
                               const void* from,
                               std::size_t bytes,
                               CopyTicket after) {
  if (after != 0) hold(stream, after);
  const std::lock_guard lock(mutex_);
  cudaEvent_t event = take_event();
  if (after == 0) {
    check(cudaEventRecord(event, stream_));
    check(cudaStreamWaitEvent(stream, event, 0));
  }
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream));
  check(cudaEventRecord(event, stream));
  return ticket_of(event);
}

CopyTicket Runtime::start_copy_out(void* to,
                                   const void* from,
                                   std::size_t bytes,
                                   CopyTicket after) {
  return start_copy(out_, to, from, bytes, after);
}

CopyTicket Runtime::start_copy_in(void* to, const void* from, std::size_t bytes, CopyTicket after) {
  return start_copy(in_, to, from, bytes, after);
}

void Runtime::hold(cudaStream_t stream, CopyTicket ticket) {
  const std::lock_guard lock(mutex_);
  const auto found = under_way_.find(ticket);
  if (found != under_way_.end()) check(cudaStreamWaitEvent(stream, found->second, 0));
}

CopyTicket Runtime::start_waiting() {
  const std::lock_guard lock(mutex_);
  cudaEvent_t event = take_event();
  check(cudaEventRecord(event, stream_));
  return ticket_of(event);
}

bool Runtime::done(CopyTicket ticket) {
  const std::lock_guard lock(mutex_);
  const auto found = under_way_.find(ticket);
  if (found == under_way_.end()) return true;
  const cudaError_t state = cudaEventQuery(found->second);
  if (state == cudaErrorNotReady) return false;
  check(state);
  free_events_.push_back(found->second);
  under_way_.erase(found);
  return true;
}

}  // namespace lockstep::cuda
