// Loaded in front of libc (LD_PRELOAD): counts the calls that change files under FAULT_ROOT and
// makes one of them fail, stop half way or kill the process; or writes down all of them, with their
// data, for the replay of crashes.
//   FAULT_ROOT=DIR     paths below it count, and writes to stdout, which acknowledge
//   FAULT_AT=N         the N-th call (1 is the first); FAULT_LASTING=1: and all after it
//   FAULT_ACTION=kill | short | an errno: 28 (ENOSPC), 5 (EIO), 122 (EDQUOT), 4 (EINTR)
//   FAULT_COUNT=FILE   the number of calls, at the end
//   FAULT_JOURNAL=FILE every call that succeeded (journal.hpp)
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <mutex>
#include <string>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

struct Plan {
  std::string root, action, journal;
  long at = 0;
  bool lasting = false;
};

std::string variable(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? text : "";
}

const Plan& plan() {
  static const Plan made = [] {
    Plan plan;
    plan.root = variable("FAULT_ROOT");
    plan.action = variable("FAULT_ACTION");
    plan.journal = variable("FAULT_JOURNAL");
    plan.at = std::atol(variable("FAULT_AT").c_str());
    plan.lasting = variable("FAULT_LASTING") == "1";
    return plan;
  }();
  return made;
}

bool counts(const std::string& path) {
  const std::string& root = plan().root;
  return !root.empty() && path.compare(0, root.size(), root) == 0;
}

std::string path_of(int file) {
  char link[64], path[4096];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof path);
  return length < 0 ? "" : std::string(path, static_cast<std::size_t>(length));
}

std::string at_path(int directory, const char* path) {
  if (path[0] == '/') return path;
  return directory == AT_FDCWD ? std::string(path) : path_of(directory) + "/" + path;
}

std::mutex mutex;
long calls = 0;

// What is to happen to this call: 0 nothing, an errno, or -1 for half of a write.
int fate() {
  const std::lock_guard lock(mutex);
  ++calls;
  const Plan& p = plan();
  if (p.at == 0 || calls < p.at || (calls > p.at && !p.lasting)) return 0;
  if (p.action == "kill") kill(getpid(), SIGKILL);
  return p.action == "short" ? -1 : std::atoi(p.action.c_str());
}

// One record: a line "call offset length path|second" and then `length` bytes.
void note(const char* call,
          const std::string& path,
          const std::string& second,
          off_t offset,
          const void* data,
          std::size_t length) {
  if (plan().journal.empty()) return;
  const std::lock_guard lock(mutex);
  static const int file = next<int (*)(const char*, int, ...)>("open")(
      plan().journal.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  static const auto real_write = next<ssize_t (*)(int, const void*, std::size_t)>("write");
  char head[64];
  std::snprintf(head, sizeof head, "%s %lld %zu ", call, static_cast<long long>(offset), length);
  std::string record = head + path + "|" + second + "\n";
  if (length > 0) record.append(static_cast<const char*>(data), length);
  if (real_write(file, record.data(), record.size()) != static_cast<ssize_t>(record.size()))
    abort();
}

// Calls that take whole paths: fail, or do it and write it down.
template <typename Call>
int guarded(const char* name,
            const std::string& path,
            const std::string& second,
            const Call& call) {
  if (!counts(path)) return call();
  if (const int error = fate(); error > 0) {
    errno = error;
    return -1;
  }
  const int result = call();
  if (result >= 0) note(name, path, second, 0, nullptr, 0);
  return result;
}

template <typename Call>
ssize_t guarded_write(int file,
                      const void* data,
                      std::size_t length,
                      off_t offset,
                      const Call& call) {
  const std::string path = file == STDOUT_FILENO ? "" : path_of(file);
  if (file == STDOUT_FILENO) note("say", "", "", 0, data, length);
  if (!counts(path)) return call(length);
  const int error = fate();
  if (error > 0) {
    errno = error;
    return -1;
  }
  const ssize_t written = call(error < 0 && length > 1 ? length / 2 : length);
  if (written > 0) note("write", path, "", offset, data, static_cast<std::size_t>(written));
  return written;
}

int guarded_open(int directory, const char* path, int flags, mode_t mode) {
  static const auto real = next<int (*)(int, const char*, int, ...)>("openat");
  const std::string whole = at_path(directory, path);
  if ((flags & (O_CREAT | O_TRUNC)) == 0) return real(directory, path, flags, mode);
  return guarded((flags & O_TRUNC) != 0 ? "truncate" : "create", whole, "",
                 [&] { return real(directory, path, flags, mode); });
}

mode_t mode_of(int flags, va_list arguments) {
  return (flags & O_CREAT) != 0 ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

// When the program ends by itself.
struct CountAtEnd {
  ~CountAtEnd() {
    const std::string path = variable("FAULT_COUNT");
    if (path.empty()) return;
    if (std::FILE* file = std::fopen(path.c_str(), "w")) {
      std::fprintf(file, "%ld\n", calls);
      std::fclose(file);
    }
  }
} count_at_end;

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return guarded_open(AT_FDCWD, path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return guarded_open(AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return guarded_open(directory, path, flags, mode);
}

ssize_t write(int file, const void* data, size_t length) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  return guarded_write(file, data, length, lseek(file, 0, SEEK_CUR),
                       [&](size_t n) { return real(file, data, n); });
}

ssize_t pwrite(int file, const void* data, size_t length, off_t offset) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return guarded_write(file, data, length, offset,
                       [&](size_t n) { return real(file, data, n, offset); });
}

ssize_t pwrite64(int file, const void* data, size_t length, off64_t offset) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64");
  return guarded_write(file, data, length, offset,
                       [&](size_t n) { return real(file, data, n, offset); });
}

int ftruncate(int file, off_t length) {
  static const auto real = next<int (*)(int, off_t)>("ftruncate");
  const std::string path = path_of(file);
  if (!counts(path)) return real(file, length);
  if (const int error = fate(); error > 0) {
    errno = error;
    return -1;
  }
  const int result = real(file, length);
  if (result == 0) note("size", path, "", length, nullptr, 0);
  return result;
}

int ftruncate64(int file, off64_t length) { return ftruncate(file, length); }

int fsync(int file) {
  static const auto real = next<int (*)(int)>("fsync");
  return guarded("fsync", path_of(file), "", [&] { return real(file); });
}

int fdatasync(int file) {
  static const auto real = next<int (*)(int)>("fdatasync");
  return guarded("fsync", path_of(file), "", [&] { return real(file); });
}

int close(int file) {
  static const auto real = next<int (*)(int)>("close");
  const std::string path = path_of(file);
  if (!counts(path)) return real(file);
  const int error = fate();
  const int result = real(file);  // a failed close has closed all the same
  if (error > 0) errno = error;
  return error > 0 ? -1 : result;
}

int rename(const char* from, const char* to) {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  return guarded("rename", from, to, [&] { return real(from, to); });
}

int renameat2(int from_directory,
              const char* from,
              int to_directory,
              const char* to,
              unsigned flags) {
  static const auto real = next<int (*)(int, const char*, int, const char*, unsigned)>("renameat2");
  return guarded(flags == 0 ? "rename" : "exchange", at_path(from_directory, from),
                 at_path(to_directory, to),
                 [&] { return real(from_directory, from, to_directory, to, flags); });
}

int mkdir(const char* path, mode_t mode) {
  static const auto real = next<int (*)(const char*, mode_t)>("mkdir");
  return guarded("mkdir", path, "", [&] { return real(path, mode); });
}

int unlinkat(int directory, const char* path, int flags) {
  static const auto real = next<int (*)(int, const char*, int)>("unlinkat");
  return guarded("remove", at_path(directory, path), "",
                 [&] { return real(directory, path, flags); });
}

int unlink(const char* path) {
  static const auto real = next<int (*)(const char*)>("unlink");
  return guarded("remove", path, "", [&] { return real(path); });
}

int rmdir(const char* path) {
  static const auto real = next<int (*)(const char*)>("rmdir");
  return guarded("remove", path, "", [&] { return real(path); });
}

int remove(const char* path) {
  static const auto real = next<int (*)(const char*)>("remove");
  return guarded("remove", path, "", [&] { return real(path); });
}

}  // extern "C"
