// NCCL through dlopen: its interface is that of nccl.h 2.x, which has kept it since 2.10.
#include "core/cuda/nccl.hpp"

#include <algorithm>
#include <dlfcn.h>
#include <iterator>

#include "core/cuda/check.hpp"
#include "core/cuda/runtime.hpp"
#include "core/error.hpp"
#include "core/random.hpp"

namespace lockstep::cuda {
namespace {

using Result = int;  // 0: success
using Comm = void*;

constexpr int sum_op = 0;

// What ncclGetUniqueId fills and ncclCommInitRank takes by value.
struct UniqueId {
  char internal[128];
};

int type_of(DType dtype) {
  switch (dtype) {
    case DType::u8:
      return 1;
    case DType::i32:
      return 2;
    case DType::i64:
      return 4;
    case DType::f32:
      return 7;
    case DType::f64:
      return 8;
    case DType::bf16:
      return 9;
  }
  return -1;
}

struct Library {
  std::string missing;  // why it is not there
  Result (*version)(int*) = nullptr;
  Result (*get_unique_id)(UniqueId*) = nullptr;
  Result (*init_rank)(Comm*, int size, UniqueId, int rank) = nullptr;
  Result (*destroy)(Comm) = nullptr;
  Result (*async_error)(Comm, Result*) = nullptr;
  const char* (*error_string)(Result) = nullptr;
  Result (*group_start)() = nullptr;
  Result (*group_end)() = nullptr;
  Result (*all_reduce)(const void*, void*, std::size_t, int, int, Comm, cudaStream_t) = nullptr;
  Result (*reduce_scatter)(const void*, void*, std::size_t, int, int, Comm, cudaStream_t) = nullptr;
  Result (*reduce)(const void*, void*, std::size_t, int, int, int, Comm, cudaStream_t) = nullptr;
  Result (*all_gather)(const void*, void*, std::size_t, int, Comm, cudaStream_t) = nullptr;
  Result (*broadcast)(const void*, void*, std::size_t, int, int, Comm, cudaStream_t) = nullptr;

  void check(Result code, const char* file = __builtin_FILE(), int line = __builtin_LINE()) const {
    if (code != 0) fail("NCCL: ", error_string(code), " (", code, ") at ", file, ":", line);
  }
};

template <typename Function>
void find(Library& library, void* handle, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(handle, name));
  if (function == nullptr && library.missing.empty())
    library.missing =
        build_string("libnccl.so.2 has no ", name, ": a version from 2.10 on is needed");
}

Library load() {
  Library library;
  void* handle = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    library.missing = build_string("NCCL (libnccl.so.2) is not there: ", dlerror());
    return library;
  }
  find(library, handle, "ncclGetVersion", library.version);
  find(library, handle, "ncclGetUniqueId", library.get_unique_id);
  find(library, handle, "ncclCommInitRank", library.init_rank);
  find(library, handle, "ncclCommDestroy", library.destroy);
  find(library, handle, "ncclCommGetAsyncError", library.async_error);
  find(library, handle, "ncclGetErrorString", library.error_string);
  find(library, handle, "ncclGroupStart", library.group_start);
  find(library, handle, "ncclGroupEnd", library.group_end);
  find(library, handle, "ncclAllReduce", library.all_reduce);
  find(library, handle, "ncclReduceScatter", library.reduce_scatter);
  find(library, handle, "ncclReduce", library.reduce);
  find(library, handle, "ncclAllGather", library.all_gather);
  find(library, handle, "ncclBroadcast", library.broadcast);
  return library;
}

// Loaded at first use, never unloaded: it has threads of its own.
const Library& library() {
  static const Library library = load();
  return library;
}

class Event {
 public:
  explicit Event(cudaStream_t stream) {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
    check(cudaEventRecord(event_, stream));
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { (void)cudaEventDestroy(event_); }
  void hold(cudaStream_t stream) const { check(cudaStreamWaitEvent(stream, event_, 0)); }
  bool done() const {
    const cudaError_t state = cudaEventQuery(event_);
    if (state != cudaErrorNotReady) check(state);
    return state == cudaSuccess;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class Communicator final : public NcclCommunicator {
 public:
  Communicator(Device device, const NcclId& id, int rank, int size)
      : nccl_(library()), runtime_(Runtime::of(device)), rank_(rank), size_(size) {
    // Of its own: operations of two communicators may meet on other ranks in another order.
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    UniqueId unique;
    std::copy(id.begin(), id.end(), unique.internal);
    nccl_.check(nccl_.init_rank(&comm_, size, unique, rank));
  }
  ~Communicator() override { (void)nccl_.destroy(comm_); }

  Pending start_sum(Tensor x, CopyTicket after) override {
    return start(x, after, [&] {
      nccl_.check(nccl_.all_reduce(x.raw(), x.raw(), elements(x), type_of(x.dtype()), sum_op, comm_,
                                   stream_));
    });
  }

  Pending start_sum_of_spans(Tensor x, Window of, CopyTicket after) override {
    return start(x, after, [&] {
      const int type = type_of(x.dtype());
      if (of.total == 0 && x.count() % size_ == 0) {
        nccl_.check(nccl_.reduce_scatter(x.raw(), span(x, {}, rank_).raw(), elements(x) / ranks(),
                                         type, sum_op, comm_, stream_));
        return;
      }
      each_span(x, of, [&](Tensor part, int root) {
        nccl_.check(nccl_.reduce(part.raw(), part.raw(), elements(part), type, sum_op, root, comm_,
                                 stream_));
      });
    });
  }

  Pending start_gather(Tensor x) override {
    return start(x, 0, [&] {
      const int type = type_of(x.dtype());
      if (x.count() % size_ == 0) {
        nccl_.check(nccl_.all_gather(span(x, {}, rank_).raw(), x.raw(), elements(x) / ranks(), type,
                                     comm_, stream_));
        return;
      }
      each_span(x, {}, [&](Tensor part, int root) {
        nccl_.check(
            nccl_.broadcast(part.raw(), part.raw(), elements(part), type, root, comm_, stream_));
      });
    });
  }

 private:
  static std::size_t elements(const Tensor& x) { return static_cast<std::size_t>(x.count()); }
  std::size_t ranks() const { return static_cast<std::size_t>(size_); }
  Tensor span(const Tensor& x, Window of, int rank) const {
    const Span part = span_in(of, x.count(), rank, size_);
    return x.range(part.first, part.count);
  }

  // The whole is one operation of NCCL; ranks whose span is empty are left out by all.
  template <typename F>
  void each_span(const Tensor& x, Window of, const F& f) {
    nccl_.check(nccl_.group_start());
    for (int root = 0; root < size_; ++root) {
      const Tensor part = span(x, of, root);
      if (part.count() > 0) f(part, root);
    }
    nccl_.check(nccl_.group_end());
  }

  // Behind the ops asked for so far, or those that `after` waits for; ops asked for after wait()
  // come behind it.
  template <typename F>
  Pending start(const Tensor& x, CopyTicket after, const F& launch) {
    if (x.count() == 0) return {};
    if (after == 0) {
      Event(runtime_.stream()).hold(stream_);
    } else {
      runtime_.hold(stream_, after);
    }
    launch();
    const auto end = std::make_shared<Event>(stream_);
    const auto wait = [this, x, end] {
      Result state = 0;
      nccl_.check(nccl_.async_error(comm_, &state));
      nccl_.check(state);
      end->hold(runtime_.stream());
    };
    return Pending(wait, [end] { return end->done(); });
  }

  const Library& nccl_;
  Runtime& runtime_;
  int rank_, size_;
  cudaStream_t stream_ = nullptr;
  Comm comm_ = nullptr;
};

}  // namespace

std::string nccl_found() {
  if (!library().missing.empty()) return library().missing;
  int version = 0;
  library().check(library().version(&version));
  return build_string(version / 10000, ".", version / 100 % 100, ".", version % 100);
}

std::string why_no_nccl(Device) { return library().missing; }

NcclId make_nccl_id(Device) {
  require(library().missing.empty(), library().missing);
  UniqueId unique;
  library().check(library().get_unique_id(&unique));
  NcclId id;
  std::copy(std::begin(unique.internal), std::end(unique.internal), id.begin());
  return id;
}

std::unique_ptr<NcclCommunicator> connect_nccl(Device device,
                                               const NcclId& id,
                                               int rank,
                                               int size) {
  require(library().missing.empty(), library().missing);
  return std::make_unique<Communicator>(device, id, rank, size);
}

}  // namespace lockstep::cuda
