#include "data/mapped_file.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "core/error.hpp"

namespace lockstep {
namespace {

// What the signal handler may look at: nodes are added, reused, never freed. begin == 0: not in
// use.
struct Registration {
  std::atomic<std::uintptr_t> begin{0};
  std::uint64_t size = 0;
  std::string path;
  Registration* next = nullptr;
};

// A signal handler reaches nothing but statics.
std::atomic<Registration*> registrations{nullptr};
std::mutex registrations_mutex;

void say(const char* text, std::size_t length) {
  // Nothing can be done about a failing stderr here.
  if (write(STDERR_FILENO, text, length) < 0) return;
}

extern "C" void on_bus_error(int number, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (const Registration* r = registrations.load(); r != nullptr; r = r->next) {
    const std::uintptr_t begin = r->begin.load();
    if (begin == 0 || address < begin || address - begin >= r->size) continue;
    constexpr char before[] = "lockstep: error: ", after[] = " was truncated while in use\n";
    say(before, sizeof before - 1);
    say(r->path.data(), r->path.size());
    say(after, sizeof after - 1);
    _exit(1);
  }
  signal(number,
         SIG_DFL);  // not ours: the access is repeated and ends the process as it would have
}

Registration* enrol(const std::byte* data, std::uint64_t size, const std::string& path) {
  const std::lock_guard lock(registrations_mutex);
  if (registrations.load() == nullptr) {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGBUS, &action, nullptr);
  }
  Registration* found = registrations.load();
  while (found != nullptr && found->begin.load() != 0) found = found->next;
  const bool is_new = found == nullptr;
  if (is_new) found = new Registration;
  found->size = size;
  found->path = path;
  if (is_new) found->next = registrations.load();
  found->begin.store(reinterpret_cast<std::uintptr_t>(data));
  if (is_new) registrations.store(found);
  return found;
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  require(file >= 0, "cannot open ", path, ": ", std::strerror(errno));
  struct stat about {};
  const bool regular = fstat(file, &about) == 0 && S_ISREG(about.st_mode);
  size_ = regular ? static_cast<std::uint64_t>(about.st_size) : 0;
  void* memory = nullptr;
  if (size_ > 0) memory = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
  const int error = errno;
  close(file);
  require(regular, path, " is not a regular file");
  require(memory != MAP_FAILED, "cannot map ", path, ": ", std::strerror(error));
  data_ = static_cast<const std::byte*>(memory);
  if (size_ > 0) registration_ = enrol(data_, size_, path_);
}

MappedFile::~MappedFile() { unmap(); }

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  path_ = std::move(other.path_);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  registration_ = std::exchange(other.registration_, nullptr);
  return *this;
}

void MappedFile::unmap() {
  if (registration_ != nullptr) static_cast<Registration*>(registration_)->begin.store(0);
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
  data_ = nullptr;
  registration_ = nullptr;
}

void MappedFile::will_need(std::uint64_t first, std::uint64_t bytes) const {
  const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t begin = first / page * page;
  madvise(const_cast<std::byte*>(data_) + begin, first + bytes - begin, MADV_WILLNEED);
}

}  // namespace lockstep
