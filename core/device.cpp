#include "core/device.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <vector>

#include "core/cuda/memory.hpp"
#include "core/dispatch.hpp"
#include "core/error.hpp"

namespace lockstep {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;

// Sizes are rounded so that equal requests of a step meet again: 64 B steps below 4 KiB, else 1/8
// of a power of two.
std::size_t rounded(std::size_t bytes) {
  if (bytes <= 4096) return (bytes + alignment - 1) / alignment * alignment;
  const std::size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

struct Pool {
  std::mutex mutex;
  std::map<std::size_t, std::vector<void*>> free;
  MemoryUse use;
};

Pool& cpu_pool() {
  static Pool* pool = new Pool;  // never destroyed: tensors in static storage may outlive any order
  return *pool;
}

}  // namespace

namespace cpu {
namespace {

void* allocate(Device device, std::size_t bytes) {
  const std::size_t size = rounded(bytes == 0 ? 1 : bytes);
  Pool& pool = cpu_pool();
  const std::lock_guard lock(pool.mutex);
  pool.use.in_use += bytes;
  pool.use.peak = std::max(pool.use.peak, pool.use.in_use);
  if (auto found = pool.free.find(size); found != pool.free.end() && !found->second.empty()) {
    void* pointer = found->second.back();
    found->second.pop_back();
    return pointer;
  }
  const std::size_t aligned_to = size >= huge_page ? huge_page : alignment;
  void* pointer = nullptr;
  if (posix_memalign(&pointer, aligned_to, size) != 0) {
    pool.use.in_use -= bytes;
    fail("out of memory: ", bytes, " bytes on ", to_string(device), ", ", pool.use.in_use,
         " bytes in use; use a smaller --microbatch-size or more ranks");
  }
  if (size >= huge_page) madvise(pointer, size, MADV_HUGEPAGE);
  pool.use.reserved += size;
  ++pool.use.num_system;
  return pointer;
}

void release(Device, void* pointer, std::size_t bytes) {
  const std::size_t size = rounded(bytes == 0 ? 1 : bytes);
  Pool& pool = cpu_pool();
  const std::lock_guard lock(pool.mutex);
  pool.use.in_use -= bytes;
  pool.free[size].push_back(pointer);
}

void* allocate_staging(Device device, std::size_t bytes) { return cpu::allocate(device, bytes); }
void release_staging(Device device, void* pointer, std::size_t bytes) {
  cpu::release(device, pointer, bytes);
}

MemoryUse memory_use(Device) {
  Pool& pool = cpu_pool();
  const std::lock_guard lock(pool.mutex);
  return pool.use;
}

void copy_rows(ByteRows to, ByteRows from, std::size_t row_bytes, std::size_t rows) {
  if (to.stride == row_bytes && from.stride == row_bytes) {
    std::memmove(to.data, from.data, row_bytes * rows);
    return;
  }
  for (std::size_t row = 0; row < rows; ++row) {
    std::memcpy(static_cast<std::byte*>(to.data) + row * to.stride,
                static_cast<const std::byte*>(from.data) + row * from.stride, row_bytes);
  }
}

void zero_rows(ByteRows to, std::size_t row_bytes, std::size_t rows) {
  for (std::size_t row = 0; row < rows; ++row) {
    std::memset(static_cast<std::byte*>(to.data) + row * to.stride, 0, row_bytes);
  }
}

void synchronize(Device) {}

CopyTicket start_copy_out(Device, void* to, const void* from, std::size_t bytes, CopyTicket) {
  std::memcpy(to, from, bytes);
  return 0;
}
CopyTicket start_copy_in(Device device,
                         void* to,
                         const void* from,
                         std::size_t bytes,
                         CopyTicket after) {
  return cpu::start_copy_out(device, to, from, bytes, after);
}
CopyTicket start_waiting(Device) { return 0; }
bool done(Device, CopyTicket) { return true; }

int num_gpus(Device, std::string* reason) {
  if (reason != nullptr) *reason = "this build has no CUDA back end (build with the preset cuda)";
  return 0;
}

}  // namespace
}  // namespace cpu

std::string to_string(Device device) {
  return device.kind == Device::Kind::cpu ? "cpu" : build_string("cuda:", device.index);
}

void* allocate(Device device, std::size_t bytes) {
  return LOCKSTEP_DISPATCH(device, allocate(device, bytes));
}
void release(Device device, void* pointer, std::size_t bytes) {
  LOCKSTEP_DISPATCH(device, release(device, pointer, bytes));
}
void* allocate_staging(Device device, std::size_t bytes) {
  return LOCKSTEP_DISPATCH(device, allocate_staging(device, bytes));
}
void release_staging(Device device, void* pointer, std::size_t bytes) {
  LOCKSTEP_DISPATCH(device, release_staging(device, pointer, bytes));
}
MemoryUse memory_use(Device device) { return LOCKSTEP_DISPATCH(device, memory_use(device)); }

void copy_rows(ByteRows to, ByteRows from, std::size_t row_bytes, std::size_t rows) {
  if (row_bytes == 0 || rows == 0) return;
  const Device device = to.device.kind == Device::Kind::cpu ? from.device : to.device;
  LOCKSTEP_DISPATCH(device, copy_rows(to, from, row_bytes, rows));
}

void zero_rows(ByteRows to, std::size_t row_bytes, std::size_t rows) {
  if (row_bytes == 0 || rows == 0) return;
  LOCKSTEP_DISPATCH(to.device, zero_rows(to, row_bytes, rows));
}

void synchronize(Device device) { LOCKSTEP_DISPATCH(device, synchronize(device)); }

CopyTicket start_copy_out(Device device,
                          void* to,
                          const void* from,
                          std::size_t bytes,
                          CopyTicket after) {
  return LOCKSTEP_DISPATCH(device, start_copy_out(device, to, from, bytes, after));
}
CopyTicket start_copy_in(Device device,
                         void* to,
                         const void* from,
                         std::size_t bytes,
                         CopyTicket after) {
  return LOCKSTEP_DISPATCH(device, start_copy_in(device, to, from, bytes, after));
}
CopyTicket start_waiting(Device device) { return LOCKSTEP_DISPATCH(device, start_waiting(device)); }
bool done(Device device, CopyTicket ticket) {
  return LOCKSTEP_DISPATCH(device, done(device, ticket));
}

int num_gpus(std::string* reason) {
  const Device any{built_with_cuda ? Device::Kind::cuda : Device::Kind::cpu, 0};
  return LOCKSTEP_DISPATCH(any, num_gpus(any, reason));
}

}  // namespace lockstep
