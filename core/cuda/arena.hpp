// Who uses which part of a few large segments of device memory: bookkeeping on the host alone, the
// memory itself is never touched. Best fit; neighbours that are free become one block. Offsets are
// multiples of 256 bytes, what vector accesses and cuBLASLt want.
#pragma once

#include <cstddef>
#include <map>

namespace lockstep::cuda {

class Arena {
 public:
  static constexpr std::size_t alignment = 256;
  static constexpr std::size_t rounded(std::size_t bytes) {
    return bytes == 0 ? alignment : (bytes + alignment - 1) / alignment * alignment;
  }

  // Addresses [first, first + bytes) from now on belong to the arena; both multiples of 256.
  void add_segment(std::byte* first, std::size_t bytes);
  // Nothing when no free block is large enough: add a segment.
  std::byte* allocate(std::size_t bytes);
  void release(std::byte* pointer);

  std::size_t in_use() const { return in_use_; }
  std::size_t peak() const { return peak_; }
  std::size_t reserved() const { return reserved_; }
  std::size_t largest_free() const;

 private:
  using Free = std::multimap<std::size_t, std::byte*>;

  void add_free(std::byte* pointer, std::size_t bytes);
  void remove_free(std::byte* pointer);

  // Where free blocks start, and their place in the list by size.
  std::map<std::byte*, Free::iterator> free_at_;
  Free free_by_size_;
  std::map<std::byte*, std::size_t> used_;
  std::map<std::byte*, std::size_t> segments_;  // blocks of different segments never become one
  std::size_t in_use_ = 0, peak_ = 0, reserved_ = 0;
};

}  // namespace lockstep::cuda
