// NCCL as far as it goes without a GPU: the library is found, has every function that is used, and
// makes ids. Its operations are in tests/parallel/mpi/group_test.cpp.
#include "core/nccl.hpp"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(Nccl, LoadsAndMakesIdsThatDiffer) {
  const Device gpu{Device::Kind::cuda, 0};
  const std::string missing = why_no_nccl(gpu);
  if (!missing.empty()) GTEST_SKIP() << missing;

  EXPECT_NE(make_nccl_id(gpu), make_nccl_id(gpu));
}

}  // namespace
}  // namespace lockstep
