// The seam of devices: cuda::twice below is declared and never defined, and this test links all the
// same.
#include "core/ops/dispatch.hpp"

#include <gtest/gtest.h>

namespace lockstep {
namespace cuda {
int twice(int x);
}  // namespace cuda
namespace cpu {
int twice(int x) { return 2 * x; }
}  // namespace cpu

namespace {

int twice(Device device, int x) { return LOCKSTEP_DISPATCH(device, twice(x)); }

TEST(Dispatch, RunsTheCpuFunctionForACpuDevice) { EXPECT_EQ(twice(Device{}, 21), 42); }

TEST(Dispatch, RefusesADeviceThisBuildLacks) {
  try {
    twice(Device{Device::Kind::cuda, 1}, 21);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::refused);
    EXPECT_STREQ(error.what(),
                 "this build has no CUDA back end: cuda:1 asked for; use --device cpu or build "
                 "with the preset cuda");
  }
}

}  // namespace
}  // namespace lockstep
