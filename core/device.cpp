#include "core/device.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <vector>

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

std::string to_string(Device device) {
  return device.kind == Device::Kind::cpu ? "cpu" : build_string("cuda:", device.index);
}

void* allocate(Device device, std::size_t bytes) {
  require(device.kind == Device::Kind::cpu, "this build has no memory on ", to_string(device));
  const std::size_t size = rounded(bytes == 0 ? 1 : bytes);
  Pool& pool = cpu_pool();
  const std::lock_guard lock(pool.mutex);
  pool.use.in_use += size;
  pool.use.peak = std::max(pool.use.peak, pool.use.in_use);
  if (auto found = pool.free.find(size); found != pool.free.end() && !found->second.empty()) {
    void* pointer = found->second.back();
    found->second.pop_back();
    return pointer;
  }
  const std::size_t aligned_to = size >= huge_page ? huge_page : alignment;
  void* pointer = nullptr;
  if (posix_memalign(&pointer, aligned_to, size) != 0) {
    pool.use.in_use -= size;
    fail("out of memory: ", bytes, " bytes on ", to_string(device), ", ", pool.use.in_use,
         " bytes in use; use a smaller --microbatch-size or more ranks");
  }
  if (size >= huge_page) madvise(pointer, size, MADV_HUGEPAGE);
  pool.use.reserved += size;
  ++pool.use.num_system;
  return pointer;
}

void release(Device device, void* pointer, std::size_t bytes) {
  assert(device.kind == Device::Kind::cpu);
  (void)device;
  const std::size_t size = rounded(bytes == 0 ? 1 : bytes);
  Pool& pool = cpu_pool();
  const std::lock_guard lock(pool.mutex);
  pool.use.in_use -= size;
  pool.free[size].push_back(pointer);
}

MemoryUse memory_use(Device device) {
  assert(device.kind == Device::Kind::cpu);
  (void)device;
  Pool& pool = cpu_pool();
  const std::lock_guard lock(pool.mutex);
  return pool.use;
}

}  // namespace lockstep
