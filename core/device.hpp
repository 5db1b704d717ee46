// Where tensors live and ops run. A Device is a value; its memory is recycled, because a page fault
// costs 1.6 us per 4 KiB, a cudaMalloc more than that, and a training step asks for the same sizes
// every time. Ops and copies of one device run in the order they were asked for; on a GPU the host
// does not wait for them unless it is said here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace lockstep {

struct Device {
  enum class Kind { cpu, cuda };

  Kind kind = Kind::cpu;
  int index = 0;

  bool operator==(const Device&) const = default;
};

std::string to_string(Device device);

// 64-byte aligned (256 on a GPU); on the CPU from 2 MiB on backed by huge pages where the system
// grants them. Thread-safe. Throws Error (failed) naming the bytes when memory is out. Released
// memory of a GPU may still be in use by ops asked for before: only ops asked for later see it
// again.
void* allocate(Device device, std::size_t bytes);
void release(Device device, void* pointer, std::size_t bytes);

// CPU memory that `device` copies from and to at full speed: page-locked where the system allows
// it.
void* allocate_staging(Device device, std::size_t bytes);
void release_staging(Device device, void* pointer, std::size_t bytes);

struct MemoryUse {
  std::size_t in_use = 0;      // bytes in tensors now
  std::size_t peak = 0;        // most bytes in tensors at once
  std::size_t reserved = 0;    // bytes taken from the system
  std::size_t num_system = 0;  // allocations that went to the system
};
MemoryUse memory_use(Device device);

// Rows of equal length, `stride` bytes apart.
struct ByteRows {
  Device device;
  void* data = nullptr;
  std::size_t stride = 0;
};

// Copies `rows` rows of `row_bytes` bytes between any two devices, one of which is the CPU or both
// of which are the same. On return the CPU's side of a copy is done with: `to` is there, and `from`
// may change.
void copy_rows(ByteRows to, ByteRows from, std::size_t row_bytes, std::size_t rows);
void zero_rows(ByteRows to, std::size_t row_bytes, std::size_t rows);
void synchronize(Device device);  // waits until all that was asked of the device is done

// Copies beside the ops, out to the CPU and in from it: they start when the ops asked for so far
// are done, or those that `after` waits for; each direction runs in order, and a copy is over when
// done() says so. Both pointers stay valid until then. CPU memory should be of allocate_staging. A
// ticket is forgotten once it was seen done.
using CopyTicket = std::uint64_t;  // 0: none
CopyTicket start_copy_out(Device device,
                          void* to,
                          const void* from,
                          std::size_t bytes,
                          CopyTicket after = 0);
CopyTicket start_copy_in(Device device,
                         void* to,
                         const void* from,
                         std::size_t bytes,
                         CopyTicket after = 0);
CopyTicket start_waiting(Device device);  // no copy: done when the ops asked for so far are
bool done(Device device, CopyTicket ticket);

// The GPUs this process may use; 0 without a driver, with the reason in `reason` when it is given.
int num_gpus(std::string* reason = nullptr);

}  // namespace lockstep
