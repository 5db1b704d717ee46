// Where tensors live and ops run. A Device is a value; its memory is recycled by size, because a
// page fault costs 1.6 us per 4 KiB and a training step asks for the same sizes every time.
#pragma once

#include <cstddef>
#include <string>

namespace lockstep {

struct Device {
  enum class Kind { cpu, cuda };

  Kind kind = Kind::cpu;
  int index = 0;

  bool operator==(const Device&) const = default;
};

std::string to_string(Device device);

// 64-byte aligned; from 2 MiB on backed by huge pages where the system grants them. Thread-safe.
// Throws Error (failed) naming the bytes when memory is out.
void* allocate(Device device, std::size_t bytes);
void release(Device device, void* pointer, std::size_t bytes);

struct MemoryUse {
  std::size_t in_use = 0;      // bytes in tensors now
  std::size_t peak = 0;        // most bytes in tensors at once
  std::size_t reserved = 0;    // bytes taken from the system
  std::size_t num_system = 0;  // allocations that went to the system
};
MemoryUse memory_use(Device device);

}  // namespace lockstep
