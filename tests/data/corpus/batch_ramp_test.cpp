#include "data/batch_ramp.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(BatchRamp, GrowsByMultiplesOfTheStart) {
  const BatchRamp ramp{.full = 32, .start = 8, .steps = 6};

  std::vector<index_t> sizes;
  for (std::int64_t step = 1; step <= 8; ++step) sizes.push_back(ramp.size_at(step));

  EXPECT_EQ(sizes, (std::vector<index_t>{8, 8, 16, 16, 24, 24, 32, 32}));
}

TEST(BatchRamp, CountsWhatEarlierStepsTook) {
  for (const BatchRamp& ramp : {BatchRamp{96, 4, 7}, BatchRamp{96, 4, 1}, BatchRamp{6, 6, 0},
                                BatchRamp{8, 8, 5}, BatchRamp{1000, 2, 131}}) {
    index_t before = 0;
    for (std::int64_t step = 1; step <= 200; ++step) {
      ASSERT_EQ(ramp.before(step), before) << ramp.full << " " << ramp.steps << " at " << step;
      before += ramp.size_at(step);
    }
  }
}

}  // namespace
}  // namespace lockstep
