// Fails on the last rank only; abort_test looks at how tests/support/mpi_main tells that.
#include <gtest/gtest.h>

#include "tests/support/mpi.hpp"

namespace lockstep::test {
namespace {

TEST(OnTheLastRank, Fails) {
  EXPECT_NE(environment().rank(), environment().size() - 1) << "seen on the last rank";
}

TEST(OnTheLastRank, Passes) { EXPECT_LT(environment().rank(), environment().size()); }

}  // namespace
}  // namespace lockstep::test
