#include "core/direct_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "core/error.hpp"

namespace lockstep {
namespace {

constexpr std::size_t block = 4096;  // a multiple of what disks want offsets and sizes to be
constexpr std::size_t buffer_bytes = std::size_t{1} << 20;  // stays in the second-level cache
constexpr std::uint64_t writeback_bytes = std::uint64_t{16} << 20;

int open_to_write(const std::string& path, int flags) {
  int file;
  do {
    file = open(path.c_str(), O_WRONLY | O_CLOEXEC | flags);
  } while (file < 0 && errno == EINTR);
  return file;
}

ssize_t write_at(int file, const std::byte* data, std::size_t bytes, std::uint64_t offset) {
  ssize_t n;
  do {
    n = pwrite(file, data, bytes, static_cast<off_t>(offset));
  } while (n < 0 && errno == EINTR);
  return n;
}

}  // namespace

void DirectFile::Free::operator()(std::byte* memory) const { std::free(memory); }

DirectFile::DirectFile(const std::string& path) : path_(path) {
  cached_ = open_to_write(path, 0);
  if (cached_ < 0) fail("cannot open ", path, " to write: ", std::strerror(errno));
  buffer_.reset(static_cast<std::byte*>(std::aligned_alloc(block, buffer_bytes)));
  if (buffer_ != nullptr) direct_ = open_to_write(path, O_DIRECT);
}

DirectFile::~DirectFile() {
  close_direct();
  if (cached_ >= 0) close(cached_);
}

void DirectFile::close_direct() {
  if (direct_ >= 0) close(direct_);
  direct_ = -1;
}

void DirectFile::write(std::uint64_t offset, const void* data, std::size_t bytes) {
  const auto* from = static_cast<const std::byte*>(data);
  const std::size_t written = offset % block == 0 ? write_past_cache(offset, from, bytes) : 0;
  write_cached(offset + written, from + written, bytes - written);
}

// Returns how much it wrote. What the file system or the disk refuses to take this way is left to
// the cache, where it goes or the true reason is told.
std::size_t DirectFile::write_past_cache(std::uint64_t offset,
                                         const std::byte* data,
                                         std::size_t bytes) {
  const std::size_t whole = bytes / block * block;
  std::size_t done = 0;
  while (done < whole && direct_ >= 0) {
    const std::size_t part = std::min(whole - done, buffer_bytes);
    std::memcpy(buffer_.get(), data + done, part);
    const ssize_t n = write_at(direct_, buffer_.get(), part, offset + done);
    if (n > 0) done += static_cast<std::size_t>(n);
    if (n != static_cast<ssize_t>(part)) close_direct();
  }
  return done;
}

void DirectFile::write_cached(std::uint64_t offset, const std::byte* data, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t n = write_at(cached_, data, std::min(bytes, buffer_bytes), offset);
    if (n < 0) fail("cannot write ", path_, ": ", std::strerror(errno));
    offset += static_cast<std::uint64_t>(n);
    data += n;
    bytes -= static_cast<std::size_t>(n);
    waiting_ += static_cast<std::uint64_t>(n);
    if (waiting_ < writeback_bytes) continue;
    // The disk may begin: finish() has less to wait for. Promises nothing.
    (void)sync_file_range(cached_, 0, 0, SYNC_FILE_RANGE_WRITE);
    waiting_ = 0;
  }
}

void DirectFile::finish() {
  close_direct();
  int result;
  do {
    result = fsync(cached_);
  } while (result != 0 && errno == EINTR);
  const int error = result == 0 ? 0 : errno;
  // An interrupted close has closed the file all the same (Linux).
  const bool closed = close(cached_) == 0 || errno == EINTR;
  const int close_error = errno;
  cached_ = -1;
  if (error != 0) fail("cannot sync ", path_, ": ", std::strerror(error));
  if (!closed) fail("cannot close ", path_, ": ", std::strerror(close_error));
}

}  // namespace lockstep
