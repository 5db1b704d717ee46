// Lines for the user on stderr, each by one write(2): launchers forward what they read from many
// ranks at once, and a line in pieces would be mixed with another rank's.
#pragma once

#include <string>

namespace lockstep {

// "line\n"; line ends within it become spaces. What nobody reads is lost.
void say(std::string line);

}  // namespace lockstep
