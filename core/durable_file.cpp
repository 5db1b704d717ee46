#include "core/durable_file.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include "core/error.hpp"

namespace lockstep {
namespace {

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

int open_path(const std::string& path, int flags) {
  int file;
  do {
    file = open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (file < 0 && errno == EINTR);
  return file;
}

// 0 or errno. An interrupted fsync may be repeated; a failed one must not be (the kernel has
// dropped the pages).
int sync(int file) {
  int result;
  do {
    result = fsync(file);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

void fsync_path(const std::string& path, int flags) {
  const int file = open_path(path, flags);
  if (file < 0) fail("cannot open ", path, " to sync it: ", std::strerror(errno));
  const int error = sync(file);
  close(file);
  if (error != 0) fail("cannot sync ", path, ": ", std::strerror(error));
}

// 0 or errno.
int write_all(int file, const std::string& content) {
  std::size_t written = 0;
  while (written < content.size()) {
    const ssize_t n = write(file, content.data() + written, content.size() - written);
    if (n < 0 && errno != EINTR) return errno;
    if (n > 0) written += static_cast<std::size_t>(n);
  }
  return 0;
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
  write_file_durably(path, content, path + ".tmp");
}

void write_file_durably(const std::string& path,
                        const std::string& content,
                        const std::string& temporary) {
  const int file = open_path(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  if (file < 0) fail("cannot create ", temporary, ": ", std::strerror(errno));
  int error = write_all(file, content);
  if (error == 0) error = sync(file);
  // An interrupted close has closed the file all the same (Linux).
  if (close(file) != 0 && error == 0 && errno != EINTR) error = errno;
  if (error != 0) {
    unlink(temporary.c_str());
    fail("cannot write ", path, ": ", std::strerror(error));
  }
  try {
    rename_durably(temporary, path);
  } catch (const Error&) {
    unlink(temporary.c_str());  // gone where the rename was done and only its sync failed
    throw;
  }
}

std::string read_file(const std::string& path) {
  const int file = open_path(path, O_RDONLY);
  require(file >= 0, "cannot read ", path, ": ", std::strerror(errno));
  std::string content;
  std::array<char, 65536> buffer;
  ssize_t n;
  do {
    n = read(file, buffer.data(), buffer.size());
    if (n > 0) content.append(buffer.data(), static_cast<std::size_t>(n));
  } while (n > 0 || (n < 0 && errno == EINTR));
  const int error = errno;
  close(file);
  require(n == 0, "cannot read ", path, ": ", std::strerror(error));
  return content;
}

}  // namespace lockstep
