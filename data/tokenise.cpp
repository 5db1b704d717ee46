#include "data/tokenise.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <memory>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "core/error.hpp"
#include "core/random.hpp"
#include "data/sentences.hpp"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto progress_interval = std::chrono::milliseconds(200);

// An output file with a buffer; errors name it.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& path) : path_(path) {
    file_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file_ < 0) fail("cannot create ", path, ": ", std::strerror(errno));
    buffer_.reserve(capacity);
  }
  ~ScratchFile() { close(file_); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  void append(const void* data, std::size_t bytes) {
    if (buffer_.size() + bytes > capacity) flush();
    const auto* from = static_cast<const std::byte*>(data);
    if (bytes > capacity) {
      write_out(from, bytes);
    } else {
      buffer_.insert(buffer_.end(), from, from + bytes);
    }
  }
  void flush() {
    write_out(buffer_.data(), buffer_.size());
    buffer_.clear();
  }

 private:
  static constexpr std::size_t capacity = std::size_t{1} << 20;

  void write_out(const std::byte* data, std::size_t bytes) {
    for (std::size_t done = 0; done < bytes;) {
      const ssize_t n = write(file_, data + done, bytes - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("cannot write ", path_, ": ", std::strerror(errno));
      done += static_cast<std::size_t>(n);
    }
  }

  std::string path_;
  int file_ = -1;
  std::vector<std::byte> buffer_;
};

// What a worker tells its parent, in shared memory.
struct Report {
  std::atomic<std::uint64_t> bytes{0}, documents{0};
  std::atomic<int> error_code{0};  // of ExitCode; set after the message
  char message[2048] = {};
};

struct Paths {
  std::string rows, tokens, sentences;
};

Paths paths_of(const std::string& scratch, std::size_t worker) {
  const std::string stem = build_string(scratch, "/worker-", worker);
  return {stem + ".rows", stem + ".tokens", stem + ".sentences"};
}

// One worker's documents [first, last).
class Worker {
 public:
  Worker(const Documents& documents,
         const Tokenizer& tokenizer,
         const TokeniseOptions& options,
         const Paths& paths)
      : documents_(documents),
        tokenizer_(tokenizer),
        options_(options),
        rows_(paths.rows),
        tokens_(paths.tokens),
        sentences_(paths.sentences) {
    if (options.append_eod) eod_ = *tokenizer.specials().eod;
  }

  template <typename Done>
  void run(std::uint64_t first, std::uint64_t last, Done&& done) {
    std::string storage;
    for (std::uint64_t document = first; document < last; ++document) {
      add(documents_.text(document, storage));
      done(documents_.range_bytes(document));
    }
    rows_.flush();
    tokens_.flush();
    sentences_.flush();
  }

 private:
  void add(std::string_view text) {
    ids_.clear();
    starts_.clear();
    if (options_.sentences) {
      encode_sentences(text);
    } else {
      tokenizer_.encode(text, ids_);
    }
    if (options_.append_eod) ids_.push_back(eod_);
    require(ids_.size() < std::numeric_limits<std::uint32_t>::max(), "a document of ", text.size(),
            " bytes has more than 2^32 - 2 tokens: cut it with --documents");
    row_.id = hash_name(text);
    row_.tokens = static_cast<std::uint32_t>(ids_.size());
    row_.sentences = static_cast<std::uint32_t>(starts_.size());
    rows_.append(&row_, sizeof row_);
    write_tokens();
    sentences_.append(starts_.data(), starts_.size() * sizeof(std::uint32_t));
    row_.token_begin += row_.tokens;
    row_.sentence_begin += row_.sentences;
  }
  // Each sentence by itself, so that its tokens are its own. A piece without tokens is no sentence.
  void encode_sentences(std::string_view text) {
    const std::vector<std::size_t> begins = sentence_starts(text);
    for (std::size_t i = 0; i < begins.size(); ++i) {
      const std::size_t end = i + 1 < begins.size() ? begins[i + 1] : text.size();
      const std::size_t before = ids_.size();
      tokenizer_.encode(text.substr(begins[i], end - begins[i]), ids_);
      if (ids_.size() > before) starts_.push_back(static_cast<std::uint32_t>(before));
    }
  }
  void write_tokens() {
    if (options_.token_bytes == 4) {
      tokens_.append(ids_.data(), ids_.size() * 4);
      return;
    }
    narrow_.assign(ids_.begin(), ids_.end());
    tokens_.append(narrow_.data(), narrow_.size() * 2);
  }

  const Documents& documents_;
  const Tokenizer& tokenizer_;
  const TokeniseOptions& options_;
  ScratchFile rows_, tokens_, sentences_;
  std::int32_t eod_ = 0;
  TokenisedDocument row_;
  std::vector<std::int32_t> ids_;
  std::vector<std::uint16_t> narrow_;
  std::vector<std::uint32_t> starts_;
};

// Worker processes that die with their parent, and are ended by it when one of them fails.
class Processes {
 public:
  explicit Processes(std::size_t count) : count_(count) {
    void* memory = mmap(nullptr, count * sizeof(Report), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("cannot share memory with workers: ", std::strerror(errno));
    reports_ = static_cast<Report*>(memory);
    for (std::size_t i = 0; i < count; ++i) new (reports_ + i) Report;
  }
  ~Processes() {
    for (pid_t child : children_) {
      if (child <= 0) continue;
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
    munmap(reports_, count_ * sizeof(Report));
  }
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  template <typename Body>
  void start(Body&& body) {
    Report& report = reports_[children_.size()];
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child < 0)
      fail("cannot start worker ", children_.size(), " of --jobs ", count_, ": ",
           std::strerror(errno));
    if (child > 0) {
      children_.push_back(child);
      return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    try {
      body(report);
    } catch (const Error& error) {
      say(report, error.what(), static_cast<int>(error.code()));
    } catch (const std::exception& error) {
      say(report, error.what(), static_cast<int>(ExitCode::failed));
    }
    _exit(report.error_code.load() == 0 ? 0 : 1);
  }

  void wait(const TokeniseProgress& progress) {
    auto told = Clock::now();
    for (std::size_t running = children_.size(); running > 0;) {
      for (std::size_t i = 0; i < children_.size(); ++i) running -= ended(i) ? 1 : 0;
      if (running > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (progress && Clock::now() - told >= progress_interval) {
        told = Clock::now();
        tell(progress);
      }
    }
    if (progress) tell(progress);
  }

 private:
  static void say(Report& report, const char* message, int code) {
    std::strncpy(report.message, message, sizeof report.message - 1);
    report.error_code.store(code);
  }
  // Reaps worker i if it has ended just now; throws its error.
  bool ended(std::size_t i) {
    int status = 0;
    if (children_[i] <= 0 || waitpid(children_[i], &status, WNOHANG) == 0) return false;
    children_[i] = 0;
    const int code = reports_[i].error_code.load();
    if (code != 0) throw Error(reports_[i].message, static_cast<ExitCode>(code));
    if (WIFSIGNALED(status))
      fail("worker ", i, " of --jobs ", count_, " was ended by signal ", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
      fail("worker ", i, " of --jobs ", count_, " ended with ", WEXITSTATUS(status));
    return true;
  }
  void tell(const TokeniseProgress& progress) const {
    std::uint64_t bytes = 0, documents = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      bytes += reports_[i].bytes.load();
      documents += reports_[i].documents.load();
    }
    progress(bytes, documents);
  }

  std::size_t count_;
  Report* reports_ = nullptr;
  std::vector<pid_t> children_;
};

// Cuts the documents into runs of about equal bytes.
std::vector<std::uint64_t> share_out(const Documents& documents, int jobs) {
  std::vector<std::uint64_t> firsts{0};
  const std::uint64_t per_job = documents.bytes() / static_cast<std::uint64_t>(jobs) + 1;
  std::uint64_t bytes = 0;
  for (std::uint64_t document = 0; document < documents.count(); ++document) {
    if (bytes >= per_job * firsts.size()) firsts.push_back(document);
    bytes += documents.range_bytes(document);
  }
  firsts.push_back(documents.count());
  return firsts;
}

}  // namespace

TokenisedDocuments::TokenisedDocuments(const Documents& documents,
                                       const Tokenizer& tokenizer,
                                       const TokeniseOptions& options,
                                       const std::string& scratch,
                                       const TokeniseProgress& progress)
    : token_bytes_(options.token_bytes), firsts_(share_out(documents, options.jobs)) {
  const std::size_t workers = firsts_.size() - 1;
  if (workers == 1) {
    std::uint64_t bytes = 0, done = 0;
    auto told = Clock::now();
    Worker(documents, tokenizer, options, paths_of(scratch, 0))
        .run(0, documents.count(), [&](std::uint64_t size) {
          bytes += size;
          ++done;
          if (!progress || Clock::now() - told < progress_interval) return;
          told = Clock::now();
          progress(bytes, done);
        });
  } else {
    Processes processes(workers);
    for (std::size_t i = 0; i < workers; ++i) {
      processes.start([&](Report& report) {
        Worker(documents, tokenizer, options, paths_of(scratch, i))
            .run(firsts_[i], firsts_[i + 1], [&report](std::uint64_t size) {
              report.bytes.fetch_add(size, std::memory_order_relaxed);
              report.documents.fetch_add(1, std::memory_order_relaxed);
            });
      });
    }
    processes.wait(progress);
  }
  for (std::size_t i = 0; i < workers; ++i) {
    const Paths paths = paths_of(scratch, i);
    rows_.emplace_back(paths.rows);
    tokens_.emplace_back(paths.tokens);
    sentences_.emplace_back(paths.sentences);
  }
}

std::size_t TokenisedDocuments::worker_of(std::uint64_t document) const {
  const auto after = std::upper_bound(firsts_.begin(), firsts_.end(), document);
  return static_cast<std::size_t>(after - firsts_.begin()) - 1;
}

TokenisedDocument TokenisedDocuments::row(std::uint64_t document) const {
  const std::size_t worker = worker_of(document);
  TokenisedDocument row;
  std::memcpy(&row, rows_[worker].data() + (document - firsts_[worker]) * sizeof row, sizeof row);
  return row;
}

const std::byte* TokenisedDocuments::tokens(std::uint64_t document) const {
  return tokens_[worker_of(document)].data() + row(document).token_begin * token_bytes_;
}

const std::byte* TokenisedDocuments::sentence_starts(std::uint64_t document) const {
  return sentences_[worker_of(document)].data() +
         row(document).sentence_begin * sizeof(std::uint32_t);
}

}  // namespace lockstep
