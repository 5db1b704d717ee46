// MPI_Init and MPI_Finalize wait for other processes without bound, and for ever when a daemon is
// gone or a wake-up is lost. A Deadline ends the process instead, so that its launcher ends the
// others and the job can start again.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace lockstep::mpi {

// A minute, and a second for each ten ranks; or what LOCKSTEP_START_SECONDS says, 0 for no limit.
std::chrono::seconds patience_with_mpi(int num_ranks);
// Throws Error when LOCKSTEP_START_SECONDS is set and not a number from 0 to 86400. Until the ranks
// can agree on that it counts as not set.
void check_patience();

class Deadline {
 public:
  // From now until the destructor there are `limit` seconds (0: any time). Then `call` is named on
  // stderr by this rank and the process ends with ExitCode::stuck. Ranks other than 0 wait a little
  // longer: where rank 0 hangs too, it speaks for all.
  Deadline(std::string call, int rank, std::chrono::seconds limit);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  void wait(std::chrono::seconds limit);

  std::string call_;
  int rank_;
  std::mutex mutex_;
  std::condition_variable kept_changed_;
  bool kept_ = false;
  std::thread thread_;
};

}  // namespace lockstep::mpi
