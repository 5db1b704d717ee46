// The signals that ask for a save: seen, and never delivered to a thread that computes.
#include "launch/signals.hpp"

#include <chrono>
#include <csignal>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

namespace lockstep {
namespace {

bool is_blocked(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

TEST(Signals, AskForAStopWithoutInterruptingAnyThread) {
  catch_stop_signals();
  EXPECT_FALSE(stop_requested());
  bool inherited = false;
  std::thread([&] { inherited = is_blocked(SIGTERM); }).join();
  EXPECT_TRUE(inherited);
  EXPECT_TRUE(is_blocked(SIGUSR1) && is_blocked(SIGUSR2));

  kill(getpid(), SIGUSR1);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!stop_requested() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(stop_requested());
}

}  // namespace
}  // namespace lockstep
