#include "core/durable_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/error.hpp"

namespace lockstep {
namespace {

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

void fsync_path(const std::string& path, int flags) {
  const int file = open(path.c_str(), flags | O_CLOEXEC);
  if (file < 0) fail("cannot open ", path, " to sync it: ", std::strerror(errno));
  const int result = fsync(file);
  const int error = errno;
  close(file);
  if (result != 0) fail("cannot sync ", path, ": ", std::strerror(error));
}

}  // namespace

void fsync_file(const std::string& path) { fsync_path(path, O_RDONLY); }
void fsync_directory(const std::string& path) { fsync_path(path, O_RDONLY | O_DIRECTORY); }

void rename_durably(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    fail("cannot rename ", from, " to ", to, ": ", std::strerror(errno));
  }
  fsync_directory(parent_of(to));
}

void write_file_durably(const std::string& path, const std::string& content) {
  const std::string temporary = path + ".tmp";
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) fail("cannot create ", temporary, ": ", std::strerror(errno));
  std::size_t written = 0;
  while (written < content.size()) {
    const ssize_t n = write(file, content.data() + written, content.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      close(file);
      unlink(temporary.c_str());
      fail("cannot write ", path, ": ", std::strerror(error));
    }
    written += static_cast<std::size_t>(n);
  }
  if (fsync(file) != 0 || close(file) != 0) fail("cannot write ", path, ": ", std::strerror(errno));
  rename_durably(temporary, path);
}

std::string read_file(const std::string& path) {
  std::error_code error;
  require(!std::filesystem::is_directory(path, error), "cannot read ", path, ": it is a directory");
  std::ifstream file(path, std::ios::binary);
  require(file.good(), "cannot read ", path, ": ", std::strerror(errno));
  std::ostringstream content;
  content << file.rdbuf();
  require(!file.bad(), "cannot read ", path, ": ", std::strerror(errno));
  return std::move(content).str();
}

}  // namespace lockstep
