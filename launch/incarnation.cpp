#include "launch/incarnation.hpp"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <sstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "core/durable_file.hpp"
#include "core/error.hpp"

namespace lockstep {
namespace {

struct Content {
  std::int64_t number = 0;
  std::string token;
};

// Number 0 for a file that is not there or was never whole: the next start counts from there.
Content read_content(const std::string& path) {
  Content content;
  try {
    std::istringstream in(read_file(path));
    in >> content.number >> content.token;
    if (!in || content.number < 0) content = {};
  } catch (const Error&) {
    content = {};
  }
  return content;
}

// Two starts in the same moment take one number after the other. Not all file systems lock; there
// the last one to write still is the only one that finds its own word.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::string& directory)
      : file_(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    constexpr int tries = 50;
    for (int i = 0; file_ >= 0 && i < tries; ++i) {
      if (::flock(file_, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EINTR)) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
  ~DirectoryLock() {
    if (file_ >= 0) ::close(file_);
  }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int file_;
};

std::string random_word() {
  std::random_device random;
  char text[20];
  std::snprintf(text, sizeof text, "%08x%08x", random(), random());
  return text;
}

// Differs between any two files that had this name; "" when there is none.
std::string stamp_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return "";
  return build_string(status.st_ino, '.', status.st_mtim.tv_sec, '.', status.st_mtim.tv_nsec);
}

}  // namespace

Incarnation Incarnation::take(const std::string& directory) {
  Incarnation own;
  own.path_ = directory + "/incarnation";
  own.token_ = random_word();
  const DirectoryLock lock(directory);
  own.number_ = read_content(own.path_).number + 1;
  write_file_durably(own.path_, build_string(own.number_, ' ', own.token_, '\n'),
                     directory + "/.incarnation." + own.word());
  own.stamp_ = stamp_of(own.path_);
  return own;
}

std::string Incarnation::word() const { return build_string("i", number_, "-", token_); }

bool Incarnation::superseded() const {
  if (newer_ != 0) return true;
  const std::string stamp = stamp_of(path_);
  if (stamp == stamp_ || stamp.empty()) return false;
  const Content content = read_content(path_);
  if (content.number == 0) return false;
  if (content.token != token_) {
    newer_ = content.number;
    return true;
  }
  stamp_ = stamp;
  return false;
}

void Incarnation::check() const {
  if (!superseded()) return;
  fail("another start took this run over (", path_, " says ", newer_, ", this one is ", number_,
       "): this one ends and leaves the run to it");
}

}  // namespace lockstep
