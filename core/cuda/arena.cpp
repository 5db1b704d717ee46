#include "core/cuda/arena.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>

namespace lockstep::cuda {

void Arena::add_free(std::byte* pointer, std::size_t bytes) {
  free_at_.emplace(pointer, free_by_size_.emplace(bytes, pointer));
}

void Arena::remove_free(std::byte* pointer) {
  const auto found = free_at_.find(pointer);
  free_by_size_.erase(found->second);
  free_at_.erase(found);
}

void Arena::add_segment(std::byte* first, std::size_t bytes) {
  assert(bytes > 0 && bytes % alignment == 0);
  segments_.emplace(first, bytes);
  reserved_ += bytes;
  add_free(first, bytes);
}

std::byte* Arena::allocate(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  const auto best = free_by_size_.lower_bound(size);
  if (best == free_by_size_.end()) return nullptr;
  const auto [available, pointer] = *best;
  remove_free(pointer);
  if (available > size) add_free(pointer + size, available - size);
  used_.emplace(pointer, size);
  in_use_ += size;
  peak_ = std::max(peak_, in_use_);
  return pointer;
}

void Arena::release(std::byte* pointer) {
  const auto used = used_.find(pointer);
  assert(used != used_.end());
  std::byte* first = pointer;
  std::size_t size = used->second;
  in_use_ -= size;
  used_.erase(used);
  const auto after = free_at_.lower_bound(first);
  if (after != free_at_.end() && after->first == first + size &&
      segments_.count(after->first) == 0) {
    size += after->second->first;
    remove_free(after->first);
  }
  const auto next = free_at_.lower_bound(first);
  if (next != free_at_.begin() && segments_.count(first) == 0) {
    const auto before = std::prev(next);
    const std::size_t length = before->second->first;
    if (before->first + length == first) {
      std::byte* joined = before->first;
      remove_free(joined);
      first = joined;
      size += length;
    }
  }
  add_free(first, size);
}

std::size_t Arena::largest_free() const {
  return free_by_size_.empty() ? 0 : free_by_size_.rbegin()->first;
}

}  // namespace lockstep::cuda
