// An existing file written past the page cache where its file system can (O_DIRECT): the disk
// fetches the bytes itself, which leaves the processor to the training beside it. Elsewhere, and
// for what is not aligned, through the cache. Every function throws Error (failed) naming path and
// cause.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace lockstep {

class DirectFile {
 public:
  explicit DirectFile(const std::string& path);
  ~DirectFile();  // closes without a word: call finish() for the errors
  DirectFile(const DirectFile&) = delete;
  DirectFile& operator=(const DirectFile&) = delete;

  // data of any alignment. Offsets that are multiples of 4 KiB go past the cache.
  void write(std::uint64_t offset, const void* data, std::size_t bytes);
  void finish();  // fsyncs and closes

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };

  std::size_t write_past_cache(std::uint64_t offset, const std::byte* data, std::size_t bytes);
  void write_cached(std::uint64_t offset, const std::byte* data, std::size_t bytes);
  void close_direct();

  std::string path_;
  int cached_ = -1, direct_ = -1;
  std::unique_ptr<std::byte, Free> buffer_;  // where the disk fetches from
  std::uint64_t waiting_ = 0;                // bytes in the cache that the disk was not told of
};

}  // namespace lockstep
