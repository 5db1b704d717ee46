#include "parallel/mpi/deadline.hpp"

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <unistd.h>
#include <utility>

#include "core/error.hpp"
#include "core/say.hpp"

namespace lockstep::mpi {
namespace {

constexpr const char* variable = "LOCKSTEP_START_SECONDS";
constexpr std::chrono::seconds for_rank_0_to_speak{5};

// What the variable says; nothing when that is no such number, or nothing at all.
std::optional<std::chrono::seconds> asked_for() {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  const char* end = text + std::strlen(text);
  int seconds = -1;
  const auto [stopped, error] = std::from_chars(text, end, seconds);
  if (error != std::errc() || stopped != end || seconds < 0 || seconds > 86400) return std::nullopt;
  return std::chrono::seconds(seconds);
}

}  // namespace

std::chrono::seconds patience_with_mpi(int num_ranks) {
  return asked_for().value_or(std::chrono::seconds(60 + num_ranks / 10));
}

void check_patience() {
  const char* text = std::getenv(variable);
  require(text == nullptr || asked_for().has_value(), variable, "=", text == nullptr ? "" : text,
          ": give a number of seconds from 0 (no limit) to 86400, or unset it");
}

Deadline::Deadline(std::string call, int rank, std::chrono::seconds limit)
    : call_(std::move(call)), rank_(rank) {
  if (limit.count() == 0) return;
  // Signals are for the threads that wait for them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this, limit] { wait(limit); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Deadline::~Deadline() {
  {
    const std::lock_guard lock(mutex_);
    kept_ = true;
  }
  kept_changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Deadline::wait(std::chrono::seconds limit) {
  std::unique_lock lock(mutex_);
  const auto more = rank_ == 0 ? std::chrono::seconds(0) : for_rank_0_to_speak;
  if (kept_changed_.wait_for(lock, limit + more, [this] { return kept_; })) return;
  say(build_string(rank_ == 0 ? std::string() : build_string("[rank ", rank_, "] "),
                   "lockstep: error: ", call_, " has not returned for ", limit.count(),
                   " s: a rank, a daemon or the network does not answer; ",
                   "start again, or allow more time with ", variable));
  ::_exit(static_cast<int>(ExitCode::stuck));
}

}  // namespace lockstep::mpi
