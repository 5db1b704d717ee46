// Checkpoints over ranks: any layout loads what any other saved, bit for bit, and all ranks fail
// alike.
#include <filesystem>
#include <optional>

#include <gtest/gtest.h>

#include "tests/parallel/checkpoint/run_state.hpp"
#include "tests/support/error_of.hpp"
#include "tests/support/file_size_limit.hpp"
#include "tests/support/mpi.hpp"

namespace lockstep {
namespace {

using test::environment;
using test::RunState;

TEST(Reshard, EveryLayoutLoadsWhatEveryOtherSaved) {
  const test::SharedDirectory directory;
  const std::vector<test::Layout> layouts = test::layouts_of(environment().size());
  std::vector<RunState> states;
  for (const test::Layout& layout : layouts) states.emplace_back(layout);
  for (std::size_t saved = 0; saved < layouts.size(); ++saved) {
    if (layouts[saved].zero != (saved / 2 % 2 == 1)) continue;  // equal files with and without
    states[saved].fill();
    const SaveResult result =
        states[saved].save(directory.file("checkpoints"), static_cast<std::int64_t>(saved));
    for (std::size_t loaded = 0; loaded < layouts.size(); ++loaded) {
      states[loaded].fill_wrong();

      states[loaded].load(result.path);

      EXPECT_EQ(states[loaded].num_wrong(), 0)
          << layouts[saved].to_string() << " -> " << layouts[loaded].to_string();
    }
  }
}

TEST(Reshard, HashesDoNotDependOnTheLayout) {
  const test::SharedDirectory directory;
  std::optional<std::string> first;
  for (const test::Layout& layout : test::layouts_of(environment().size())) {
    RunState state(layout);
    state.fill();

    const std::string hash = state.hash();

    if (!first) first = hash;
    EXPECT_EQ(hash, *first) << layout.to_string();
    EXPECT_EQ(hash.empty(), environment().rank() != 0);
  }
}

TEST(Reshard, WeightsAloneLoadInTheOtherPrecision) {
  const test::SharedDirectory directory;
  const std::vector<test::Layout> layouts = test::layouts_of(environment().size());
  RunState before(layouts.front(), DType::f64);
  before.fill();
  const SaveResult result = before.save(directory.file("checkpoints"), 1);
  RunState same(layouts.back(), DType::f64), narrow(layouts.back(), DType::f32);
  narrow.fill_wrong();

  same.load(result.path);
  narrow.load(result.path, false);

  EXPECT_EQ(same.num_wrong(true, DType::f64), 0);
  EXPECT_EQ(narrow.num_wrong(false), 0);
}

TEST(Reshard, OnlyVerifiedCheckpointsAppear) {
  const test::SharedDirectory directory;
  const std::string checkpoints = directory.file("checkpoints");
  for (const test::Layout& layout : test::layouts_of(environment().size())) {
    RunState state(layout);
    state.fill();

    const SaveResult result =
        state.save(checkpoints, 5);  // the first is new, the others replace it

    verify_checkpoint(result.path);
    EXPECT_EQ(list_checkpoints(checkpoints), std::vector<std::string>{result.path});
    environment().world().barrier();
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(checkpoints), {}), 1);
}

TEST(Reshard, OneFullDiskFailsAllRanksAndLeavesTheOldCheckpoint) {
  const test::SharedDirectory directory;
  const std::string checkpoints = directory.file("checkpoints");
  const int ranks = environment().size();
  RunState state({.degrees = {.dp = ranks, .pp = 1, .cp = 1, .tp = 1}, .zero = true});
  state.fill();
  const SaveResult good = state.save(checkpoints, 1);

  test::Failure failure;
  {
    std::optional<test::FileSizeLimit> limit;
    if (environment().rank() == ranks - 1) limit.emplace(3000);
    failure = test::error_of([&] { state.save(checkpoints, 2); });
  }
  environment().world().barrier();

  EXPECT_EQ(failure.code, ExitCode::failed);
  EXPECT_TRUE(failure.names(".h5") && failure.names("File too large")) << failure.message;
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(checkpoints), {}), 1);
  verify_checkpoint(good.path);
  environment().world().barrier();  // the next save makes names: all have counted
  EXPECT_EQ(state.save(checkpoints, 2).path, checkpoints + "/step-000000002");
}

TEST(Reshard, DamageIsMetByAllRanksAlike) {
  const test::SharedDirectory directory;
  const int ranks = environment().size();
  RunState state({.degrees = {.dp = 1, .pp = 1, .cp = 1, .tp = ranks}, .zero = false});
  state.fill();
  const SaveResult saved = state.save(directory.file("checkpoints"), 1);
  if (environment().rank() == 0) {
    const std::string path = saved.path + "/rank-00000.h5";
    test::flip_bit(path, std::filesystem::file_size(path) / 2);
  }
  environment().world().barrier();

  const test::Failure failure = test::error_of([&] { state.load(saved.path); });

  EXPECT_EQ(failure.code, ExitCode::failed);
  EXPECT_TRUE(failure.names("rank-00000.h5") && failure.names("step-000000001")) << failure.message;
}

}  // namespace
}  // namespace lockstep
