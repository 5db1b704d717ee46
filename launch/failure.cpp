#include "launch/failure.hpp"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <iostream>
#include <new>
#include <random>
#include <thread>
#include <unistd.h>

#include "core/say.hpp"

namespace lockstep {
namespace {

struct Story {
  std::string message;
  ExitCode code = ExitCode::failed;
};

// Of the exception being handled.
Story current_story() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.what(), error.code()};
  } catch (const std::bad_alloc&) {
    return {"out of memory; use more ranks, a smaller --microbatch-size or --recompute full",
            ExitCode::failed};
  } catch (const std::exception& error) {
    return {error.what(), ExitCode::failed};
  }
}

// What stdout could not take (a full disk) must not end in exit code 0.
int flushed(int code) {
  std::cout.flush();
  if (!std::cout) fail("standard output cannot be written");
  return code;
}

[[noreturn]] void fail_alone(const Environment& environment,
                             const FailureContext& context,
                             FailureClaim& claim) {
  const Story story = current_story();
  claim.share(context.output);
  if (claim.take()) {
    print_error(story.message, rank_prefix(environment, context.layout));
    // Those that fail in the same moment must still find the claim.
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    claim.remove();
  } else {
    std::this_thread::sleep_for(std::chrono::seconds(3));
  }
  environment.abort(story.code);
}

}  // namespace

void print_error(const std::string& message, const std::string& prefix) {
  std::cout.flush();
  say(prefix + "lockstep: error: " + message);
}

void print_warning(const std::string& message) { say("lockstep: warning: " + message); }

std::string rank_prefix(const Environment& environment, const LayoutOptions& layout) {
  const int rank = environment.rank();
  if (rank == 0) return "";
  const int model = layout.pp * layout.cp * layout.tp;
  if (environment.size() % model != 0) return build_string("[rank ", rank, "] ");
  const int dp = environment.size() / model, tp_cp = layout.tp * layout.cp;
  return build_string("[rank ", rank, " dp", rank / tp_cp % dp, " pp", rank / tp_cp / dp, " tp",
                      rank % layout.tp, "] ");
}

FailureClaim::FailureClaim(const Environment& environment) : lone_(environment.size() == 1) {
  Tensor id = Tensor::empty({1}, DType::i64);
  if (environment.rank() == 0) {
    std::random_device random;
    id.data<std::int64_t>()[0] = static_cast<std::int64_t>(random()) << 16 ^ ::getpid();
  }
  environment.world().broadcast(id, 0, "failure id");
  name_ = build_string(".failed-", id.data<std::int64_t>()[0]);
}

bool FailureClaim::take() {
  if (lone_) return true;
  const char* temporary = std::getenv("TMPDIR");
  for (const std::string& directory : {directory_, std::string(temporary ? temporary : "/tmp")}) {
    if (directory.empty()) continue;
    const std::string path = directory + "/" + name_;
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0) {
      ::close(file);
      path_ = path;
      return true;
    }
    if (errno == EEXIST) return false;
  }
  return true;  // no place to race in: twice said is better than not said
}

void FailureClaim::remove() const {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void FailureClaim::clean(const std::string& directory) {
  std::error_code ignored;  // what cannot be listed or removed does no harm
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    if (entry.path().filename().string().rfind(".failed-", 0) == 0)
      std::filesystem::remove(entry.path(), ignored);
  }
}

int guard_ranks(const Environment& environment,
                const FailureContext& context,
                const std::function<int()>& body) {
  FailureClaim claim(environment);
  try {
    return flushed(body());
  } catch (const AgreedError& error) {
    if (error.speaker()) print_error(error.what(), rank_prefix(environment, context.layout));
    // The launcher's own words about the exit code come after ours.
    environment.world().barrier();
    return static_cast<int>(error.code());
  } catch (...) {
    if (environment.size() > 1) fail_alone(environment, context, claim);
    const Story story = current_story();
    print_error(story.message);
    return static_cast<int>(story.code);
  }
}

int guard(const std::function<int()>& body) {
  try {
    return flushed(body());
  } catch (...) {
    const Story story = current_story();
    print_error(story.message);
    return static_cast<int>(story.code);
  }
}

}  // namespace lockstep
