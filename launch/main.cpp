// The binary: everything is in commands/.
#include <ios>
#include <string>
#include <vector>

#include "launch/commands/commands.hpp"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  const int first = argc > 0 ? 1 : 0;
  return lockstep::run_command_line(std::vector<std::string>(argv + first, argv + argc));
}
