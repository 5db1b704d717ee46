// What tests under mpirun share. Between collectives use EXPECT: a rank that leaves a test early
// leaves the others waiting, until the watchdog of tests/support/mpi_main.cpp ends them all.
#pragma once

#include "parallel/mpi/environment.hpp"

namespace lockstep::test {

// Of this process; lives as long as main.
Environment& environment();

}  // namespace lockstep::test
