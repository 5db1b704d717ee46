// main() of tests under mpirun. Rank 0 prints; what failed on other ranks is gathered after each
// test and told by rank 0, and all ranks call a test failed when one does, so that they exit alike.
// A watchdog ends the ranks when no test finishes for 60 s.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/mpi.hpp"

namespace lockstep::test {
namespace {

constexpr std::chrono::seconds patience{60};

Environment* the_environment = nullptr;  // set once by main, before any test

// Ends this process, and so all ranks, when the current test does not end: the launcher kills the
// peers of a rank that fails.
class Watchdog {
 public:
  explicit Watchdog(int rank) : rank_(rank), thread_([this] { watch(); }) {}
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  void restart(const std::string& test) {
    const std::lock_guard lock(mutex_);
    test_ = test;
    deadline_ = std::chrono::steady_clock::now() + patience;
  }

 private:
  void watch() {
    std::unique_lock lock(mutex_);
    while (!stopping_ && std::chrono::steady_clock::now() < deadline_) {
      changed_.wait_until(lock, deadline_);
    }
    if (stopping_) return;
    std::fprintf(stderr, "[rank %d] %s has not ended for %d s: ending all ranks\n", rank_,
                 test_.c_str(), static_cast<int>(patience.count()));
    std::fflush(nullptr);
    std::_Exit(static_cast<int>(ExitCode::stuck));
  }

  int rank_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string test_ = "the start";
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::now() + patience;
  bool stopping_ = false;
  std::thread thread_;  // last: it reads the members above
};

// The texts of all ranks one after the other, on every rank.
std::string gather_texts(const std::string& own) {
  Group& world = environment().world();
  std::string all;
  for (int root = 0; root < world.size(); ++root) {
    Tensor length = Tensor::from<std::int64_t>({static_cast<std::int64_t>(own.size())}, {1});
    world.broadcast(length, root, "test");
    Tensor text = Tensor::empty({length.data<std::int64_t>()[0]}, DType::u8);
    if (world.rank() == root) std::copy(own.begin(), own.end(), text.data<std::uint8_t>());
    world.broadcast(text, root, "test");
    all.append(text.data<std::uint8_t>(), text.data<std::uint8_t>() + text.count());
  }
  return all;
}

class GatherFailures : public testing::EmptyTestEventListener {
 public:
  explicit GatherFailures(Watchdog& watchdog) : watchdog_(&watchdog) {}

  void OnTestStart(const testing::TestInfo& info) override {
    own_.clear();
    watchdog_->restart(build_string(info.test_suite_name(), ".", info.name()));
  }

  // Does not communicate: it is called on the failing rank only.
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    own_ += build_string("[rank ", environment().rank(), "] ",
                         result.file_name() == nullptr ? "?" : result.file_name(), ":",
                         result.line_number(), ": ", result.message(), "\n");
  }

  // The printer says OK or FAILED after this, since listeners end in reverse order.
  void OnTestEnd(const testing::TestInfo& info) override {
    const bool own_failed = info.result()->Failed();
    const std::string all = gather_texts(own_);
    const bool leader = environment().rank() == 0;
    if (!all.empty() && (leader ? all != own_ : !own_failed)) {
      ADD_FAILURE() << "of all ranks:\n" << all;
    }
    environment().reset_traffic();
  }

 private:
  Watchdog* watchdog_;
  std::string own_;
};

int run_tests(Environment& environment) {
  the_environment = &environment;
  Watchdog watchdog(environment.rank());
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  if (environment.rank() != 0) delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new GatherFailures(watchdog));
  Tensor verdict = Tensor::from<std::int32_t>({RUN_ALL_TESTS()}, {1});
  environment.world().all_reduce(verdict, Reduce::max, "verdict");
  return verdict.data<std::int32_t>()[0];
}

}  // namespace

Environment& environment() { return *the_environment; }

}  // namespace lockstep::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  lockstep::Environment environment;
  return lockstep::test::run_tests(environment);
}
