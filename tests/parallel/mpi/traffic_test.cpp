// What is counted of each collective and message, against the formulas of parallel/mpi/traffic.hpp.
#include "parallel/mpi/traffic.hpp"

#include <gtest/gtest.h>

#include "tests/support/mpi.hpp"

namespace lockstep::test {
namespace {

// The figure of one row summed over all ranks.
TrafficRow total(const char* operation) {
  for (const TrafficRow& row : environment().sum_traffic(environment().traffic())) {
    if (row.axis == "test" && row.what == "counted" && row.operation == operation) return row;
  }
  return {};
}

TEST(Traffic, TotalsAreWhatTheFormulasSay) {
  const auto group = environment().split(0, environment().rank(), "test");
  const int n = group->size();
  Tensor x = Tensor::zeros({12 * 101}, DType::f64), y = x.clone();
  group->all_reduce(x, Reduce::sum, "counted");
  group->all_reduce(x, Reduce::max, "counted");
  group->reduce_scatter(x, "counted");
  group->all_gather(x, "counted");
  group->all_to_all(y, x, "counted");
  group->broadcast(x, 0, "counted");
  if (n > 1) {
    const Pending sending = group->start_send(x, (group->rank() + 1) % n, 0, "counted");
    group->receive(y, (group->rank() + n - 1) % n, 0, "counted");
  }

  const index_t N = 12 * 101;
  const index_t collectives = n > 1 ? 1 : 0;  // a group of one counts nothing
  EXPECT_EQ(total("all_reduce").elements, 2 * 2 * (n - 1) * N);
  EXPECT_EQ(total("all_reduce").messages, 2 * collectives);
  for (const char* operation : {"reduce_scatter", "all_gather", "all_to_all", "broadcast"}) {
    EXPECT_EQ(total(operation).elements, (n - 1) * N) << operation;
    EXPECT_EQ(total(operation).bytes, 8 * (n - 1) * N) << operation;
    EXPECT_EQ(total(operation).messages, collectives) << operation;
  }
  EXPECT_EQ(total("send").elements, n > 1 ? n * N : 0);
  EXPECT_EQ(total("send").messages, n > 1 ? n : 0);
}

TEST(Traffic, ResetForgetsAll) {
  Tensor x = Tensor::zeros({4}, DType::f32);
  environment().world().all_reduce(x, Reduce::sum, "counted");

  environment().reset_traffic();

  EXPECT_TRUE(environment().traffic().empty());
}

}  // namespace
}  // namespace lockstep::test
