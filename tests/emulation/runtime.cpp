// Streams, events and memory. Work of a stream runs when the host waits for it, or when another
// stream's work that waits for it runs; never earlier.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <sys/mman.h>
#include <utility>
#include <vector>

#include "tests/emulation/include/cuda_runtime.h"

namespace emulation {

struct Graph {
  std::vector<Node> kinds;
  std::vector<std::function<void()>> work;
};

struct Stream {
  std::deque<std::function<void()>> queue;
  std::uint64_t issued = 0, executed = 0;
  std::unique_ptr<Graph> captured;  // while the stream is being captured
  bool invalid = false;             // what was asked of it cannot be captured
};

struct Event {
  Stream* stream = nullptr;
  std::uint64_t position = 0;  // of the stream's work that it stands behind
  bool asked = false;
  std::shared_ptr<double> time;  // milliseconds, once the stream comes to it
};

namespace {

constexpr std::size_t all_bytes = std::size_t{1} << 30;  // a GPU of 1 GiB

double now = 0;        // milliseconds that work says it took
int num_captures = 0;  // under way, of all streams

struct Memory {
  std::vector<std::pair<void*, std::size_t>> segments;
  std::map<const char*, std::size_t> locked;  // page-locked memory of the host
  std::size_t used = 0;
  int open = 0;  // depth of work under way

  bool is_locked(const void* address) const {
    const auto* at = static_cast<const char*>(address);
    const auto next = locked.upper_bound(at);
    if (next == locked.begin()) return false;
    const auto& [first, bytes] = *std::prev(next);
    return at < first + bytes;
  }

  void protect(int mode) const {
    for (const auto& [first, bytes] : segments) mprotect(first, bytes, mode);
  }
};

Memory& memory() {
  static Memory memory;
  return memory;
}

// While one lives, device memory may be touched.
class DeviceWork {
 public:
  DeviceWork() {
    if (memory().open++ == 0) memory().protect(PROT_READ | PROT_WRITE);
  }
  ~DeviceWork() {
    if (--memory().open == 0) memory().protect(PROT_NONE);
  }
};

void run_until(Stream& stream, std::uint64_t position) {
  if (stream.executed >= position) return;
  const DeviceWork open;
  while (stream.executed < position) {
    const auto work = std::move(stream.queue.front());
    stream.queue.pop_front();
    ++stream.executed;
    work();
  }
}

// Of a stream that is being captured: not to be waited for.
bool capturing(Stream* stream) {
  if (!stream->captured) return false;
  stream->invalid = true;
  return true;
}

// Memory of the host that is not page-locked would be read when the graph runs.
bool can_copy(Stream* stream, const void* to, const void* from) {
  if (!stream->captured) return true;
  const auto lawful = [](const void* address) {
    return on_device(address) || memory().is_locked(address);
  };
  stream->invalid = stream->invalid || !lawful(to) || !lawful(from);
  return !stream->invalid;
}

void finish(const Event& event) {
  if (event.stream != nullptr) run_until(*event.stream, event.position);
}

}  // namespace

void spend(double milliseconds) { now += milliseconds; }

bool any_capture() { return num_captures > 0; }

bool on_device(const void* address) {
  const auto* at = static_cast<const char*>(address);
  return std::any_of(memory().segments.begin(), memory().segments.end(), [at](const auto& segment) {
    const auto* first = static_cast<const char*>(segment.first);
    return at >= first && at < first + segment.second;
  });
}

void with_device_memory(const std::function<void()>& work) {
  const DeviceWork open;
  work();
}

void enqueue(cudaStream_t stream, std::function<void()> work, Node node) {
  if (stream->captured) {
    stream->captured->kinds.push_back(node);
    stream->captured->work.push_back(std::move(work));
    return;
  }
  ++stream->issued;
  stream->queue.push_back(std::move(work));
}

}  // namespace emulation

using emulation::memory;

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    default:
      return "emulated error";
  }
}

cudaError_t cudaGetLastError() { return cudaSuccess; }

// One GPU; none as CUDA_VISIBLE_DEVICES says, or where the driver is older than this runtime.
cudaError_t cudaGetDeviceCount(int* count) {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver < runtime) return cudaErrorInsufficientDriver;
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr && *visible == '\0') return cudaErrorNoDevice;
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidValue; }

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr name, int) {
  *value = name == cudaDevAttrMultiProcessorCount ? 1 : 8;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* address, int bytes, int) {
  std::strncpy(address, "0000:00:00.0", static_cast<std::size_t>(bytes));
  return cudaSuccess;
}

// LOCKSTEP_EMULATED_DRIVER=12080: that of CUDA 12.8.
cudaError_t cudaDriverGetVersion(int* version) {
  const char* asked = std::getenv("LOCKSTEP_EMULATED_DRIVER");
  *version = asked != nullptr ? std::atoi(asked) : 13000;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  if (memory().used + bytes > emulation::all_bytes) return cudaErrorMemoryAllocation;
  void* segment = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (segment == MAP_FAILED) return cudaErrorMemoryAllocation;
  std::memset(segment, 0xff, bytes);  // NaN: fresh memory holds nothing useful
  mprotect(segment, bytes, PROT_NONE);
  memory().segments.emplace_back(segment, bytes);
  memory().used += bytes;
  *pointer = segment;
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  *pointer = std::malloc(bytes);
  if (*pointer == nullptr) return cudaErrorMemoryAllocation;
  memory().locked[static_cast<char*>(*pointer)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* all_bytes) {
  *free_bytes = emulation::all_bytes - memory().used;
  *all_bytes = emulation::all_bytes;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to,
                            const void* from,
                            std::size_t bytes,
                            cudaMemcpyKind,
                            cudaStream_t stream) {
  if (!emulation::can_copy(stream, to, from)) return cudaErrorStreamCaptureUnsupported;
  emulation::enqueue(
      stream, [=] { std::memcpy(to, from, bytes); }, emulation::Node::copy);
  return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void* to,
                              std::size_t to_stride,
                              const void* from,
                              std::size_t from_stride,
                              std::size_t row_bytes,
                              std::size_t rows,
                              cudaMemcpyKind,
                              cudaStream_t stream) {
  if (row_bytes > to_stride || row_bytes > from_stride) return cudaErrorInvalidValue;
  if (!emulation::can_copy(stream, to, from)) return cudaErrorStreamCaptureUnsupported;
  const auto copy = [=] {
    for (std::size_t row = 0; row < rows; ++row) {
      std::memcpy(static_cast<char*>(to) + row * to_stride,
                  static_cast<const char*>(from) + row * from_stride, row_bytes);
    }
  };
  emulation::enqueue(stream, copy, emulation::Node::copy);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  emulation::enqueue(
      stream, [=] { std::memset(to, value, bytes); }, emulation::Node::fill);
  return cudaSuccess;
}

cudaError_t cudaMemset2DAsync(void* to,
                              std::size_t stride,
                              int value,
                              std::size_t row_bytes,
                              std::size_t rows,
                              cudaStream_t stream) {
  const auto fill = [=] {
    for (std::size_t row = 0; row < rows; ++row)
      std::memset(static_cast<char*>(to) + row * stride, value, row_bytes);
  };
  emulation::enqueue(stream, fill, emulation::Node::fill);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new emulation::Stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (emulation::capturing(stream)) return cudaErrorStreamCaptureUnsupported;
  emulation::run_until(*stream, stream->issued);
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  // CUDA takes it where the event is of the same capture; nothing of ours asks for that.
  if (emulation::capturing(stream)) return cudaErrorStreamCaptureUnsupported;
  emulation::enqueue(stream, [at = *event] { emulation::finish(at); });
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new emulation::Event;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return cudaEventCreate(event);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (emulation::capturing(stream)) return cudaErrorStreamCaptureUnsupported;
  auto time = std::make_shared<double>(0);
  emulation::enqueue(stream, [time] { *time = emulation::now; });
  *event = {stream, stream->issued, false, time};
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (!std::exchange(event->asked, true)) return cudaErrorNotReady;
  emulation::finish(*event);
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  emulation::finish(*event);
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (begin->time == nullptr || end->time == nullptr) return cudaErrorInvalidValue;
  *milliseconds = static_cast<float>(*end->time - *begin->time);
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (emulation::capturing(stream)) return cudaErrorStreamCaptureUnmatched;
  stream->captured = std::make_unique<emulation::Graph>();
  ++emulation::num_captures;
  stream->invalid = false;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!stream->captured) return cudaErrorStreamCaptureUnmatched;
  const std::unique_ptr<emulation::Graph> captured = std::move(stream->captured);
  --emulation::num_captures;
  if (stream->invalid) return cudaErrorStreamCaptureInvalidated;
  *graph = new emulation::Graph(std::move(*captured));
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned) {
  *executable = new emulation::Graph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t executable,
                                cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo* info) {
  info->result = executable->kinds.size() != graph->kinds.size()
                     ? cudaGraphExecUpdateErrorTopologyChanged
                 : executable->kinds != graph->kinds ? cudaGraphExecUpdateErrorNodeTypeChanged
                                                     : cudaGraphExecUpdateSuccess;
  if (info->result != cudaGraphExecUpdateSuccess) return cudaErrorGraphExecUpdateFailure;
  executable->work = graph->work;
  return cudaSuccess;
}

// Its nodes as they are now: a later update is not for this launch.
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (emulation::capturing(stream)) return cudaErrorStreamCaptureUnsupported;
  for (std::size_t i = 0; i < executable->work.size(); ++i)
    emulation::enqueue(stream, executable->work[i], executable->kinds[i]);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return cudaGraphDestroy(executable);
}
