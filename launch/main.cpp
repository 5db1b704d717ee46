// The binary: everything is in commands/.
#include <csignal>
#include <ios>
#include <string>
#include <vector>

#include "launch/commands/commands.hpp"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  // A file-size limit is then an ordinary error of the write that meets it.
  std::signal(SIGXFSZ, SIG_IGN);
  const int first = argc > 0 ? 1 : 0;
  return lockstep::run_command_line(std::vector<std::string>(argv + first, argv + argc));
}
