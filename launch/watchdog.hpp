// A thread of each rank that ends a run without progress (exit code 76) and names the rank that is
// late. A rank whose training thread has finished nothing for the limit asks: it makes a directory
// in the run's; every rank's watchdog that lives writes there what its rank does. A rank that does
// not answer is frozen, dead or cut off; one that answers and waits for nobody is the late one.
// Files, because the run's directory is shared by all hosts and needs no rank to listen.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "parallel/mpi/activity.hpp"

namespace lockstep {

struct WatchdogConfig {
  double seconds = 0;  // 0: no thread
  std::string place;   // a name in the run's directory that no other start uses
  int rank = 0, ranks = 1;
  std::string prefix;  // of an error line of this rank
};

// What one rank said. `waiting` empty: it was at work.
struct Answer {
  std::int64_t step = 0;
  std::string phase;
  bool patient = false;
  std::string waiting;
  double idle_seconds = 0;
};
std::string print_answer(const Activity::Snapshot& snapshot);
Answer parse_answer(const std::string& text);  // throws Error when it is none

// From what the ranks said to who is late. Answers by rank; those that gave none are missing.
struct Verdict {
  bool stuck = false;  // false: somebody is at work that may take long
  std::vector<int> late;
  std::string message;  // names the late first, then what the others wait for
};
Verdict judge(const std::map<int, Answer>& answers, int ranks, double seconds);

class Watchdog {
 public:
  // activity must outlive this.
  Watchdog(const Activity& activity, WatchdogConfig config);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void watch();
  bool wait_for(double seconds);  // false: it is over
  void answer() const;
  std::optional<std::map<int, Answer>> collect();  // nothing when the question was withdrawn
  void question();
  void ask();
  [[noreturn]] void end(const std::string& message) const;
  std::string file_of(int rank) const;

  const Activity& activity_;
  WatchdogConfig config_;
  double interval_;    // seconds between two looks
  double grace_;       // seconds in which a rank that lives has answered
  int patience_left_;  // questions that may end in "somebody is at work"
  std::mutex mutex_;
  std::condition_variable over_changed_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace lockstep
