// The one exception of the project, and require() for what a user got wrong.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace lockstep {

// Exit codes of the command line (docs/cli.md). An Error carries the one its cause maps to.
enum class ExitCode : int {
  done = 0,
  failed = 1,       // while running: I/O, a lost peer, a non-finite loss
  refused = 2,      // before running: usage, configuration, input
  saved = 75,       // saved because a signal asked: start again
  stuck = 76,       // no progress within --watchdog-seconds, or MPI hangs
  wrong_ranks = 78  // not the number of ranks asked for
};

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ExitCode code = ExitCode::refused)
      : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

template <typename... Parts>
std::string build_string(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Refuses before running: require(ok, "--tp ", tp, " must divide --heads ", heads). Name value and
// cure.
template <typename... Parts>
void require(bool ok, const Parts&... parts) {
  if (!ok) throw Error(build_string(parts...), ExitCode::refused);
}

// Fails while running: I/O, damaged files met in a run.
template <typename... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(build_string(parts...), ExitCode::failed);
}

}  // namespace lockstep
