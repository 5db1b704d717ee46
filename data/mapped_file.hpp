// A whole file mapped read-only. A file cut short by someone else while it is mapped raises SIGBUS
// at the next access: mapped files are registered with a handler that turns this into one line
// naming the file, and exit code 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep {

class MappedFile {
 public:
  MappedFile() = default;
  // Error (refused) naming the file when it cannot be opened, is no regular file or cannot be
  // mapped.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const std::string& path() const { return path_; }
  const std::byte* data() const { return data_; }
  std::uint64_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  // Asks for these bytes ahead of their use: page faults on a network file system fetch 4 KiB at a
  // time.
  void will_need(std::uint64_t first, std::uint64_t bytes) const;

 private:
  void unmap();

  std::string path_;
  const std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
  void* registration_ = nullptr;
};

}  // namespace lockstep
