// Saves beside the training: what is saved is what was there when the save began, on any number of
// ranks.
#include "parallel/checkpoint/saver.hpp"

#include <filesystem>

#include <gtest/gtest.h>

#include "tests/parallel/checkpoint/run_state.hpp"
#include "tests/support/error_of.hpp"
#include "tests/support/mpi.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using test::environment;
using test::RunState;

class Saver : public testing::Test {
 protected:
  Saver() : state({{.dp = environment().size(), .pp = 1, .cp = 1, .tp = 1}, true}) {
    state.fill();
    config.checkpoints = directory.file("checkpoints");
    config.background = true;
    config.word = "i1-test";
  }
  std::unique_ptr<CheckpointSaver> saver() const { return state.saver(config); }

  const test::SharedDirectory directory;
  RunState state;
  SaverConfig config;
};

TEST_F(Saver, WritesWhatWasThereWhenItBegan) {
  const auto saver = this->saver();
  saver->start(RunState::meta(3), state.optimizer());
  state.fill_wrong();

  const SaveResult result = saver->finish();
  state.load(result.path);

  EXPECT_EQ(state.num_wrong(), 0);
  EXPECT_EQ(result.step, 3);
  EXPECT_LE(result.copy_seconds, result.seconds);
  EXPECT_LE(result.copy_seconds, result.blocked_seconds);
  EXPECT_FALSE(saver->in_flight());
}

TEST_F(Saver, SavesAgainAndKeepsTheNewest) {
  config.keep = 2;
  const auto saver = this->saver();

  for (std::int64_t step = 1; step <= 4; ++step) {
    saver->start(RunState::meta(step), state.optimizer());
    saver->finish();
  }

  EXPECT_EQ(list_checkpoints(config.checkpoints),
            (std::vector<std::string>{config.checkpoints + "/step-000000004",
                                      config.checkpoints + "/step-000000003"}));
}

TEST_F(Saver, AForbiddenCommitLeavesNothing) {
  config.before_rename = [] { fail("another start took over"); };
  const auto saver = this->saver();
  saver->start(RunState::meta(5), state.optimizer());

  const test::Failure failure = test::error_of([&] { saver->finish(); });
  environment().world().barrier();

  EXPECT_TRUE(failure.names("another start took over"));
  EXPECT_EQ(failure.code, ExitCode::failed);
  EXPECT_FALSE(saver->in_flight());
  EXPECT_TRUE(fs::is_empty(config.checkpoints));
}

TEST_F(Saver, GoesOnAfterAFailure) {
  // The temporary directory vanishes under it, as when another start cleans up.
  const auto saver = this->saver();
  saver->start(RunState::meta(6), state.optimizer());
  environment().world().barrier();
  std::error_code ignored;
  fs::remove_all(config.checkpoints, ignored);

  test::error_of([&] { saver->finish(); });
  environment().world().barrier();
  saver->start(RunState::meta(7), state.optimizer());
  const SaveResult result = saver->finish();

  EXPECT_EQ(read_meta(result.path).step, 7);
}

}  // namespace
}  // namespace lockstep
