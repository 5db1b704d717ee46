// Starts failing_program under mpirun: whatever one rank does, all are gone within seconds, with
// the right exit code.
#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <sys/wait.h>

#include <gtest/gtest.h>

#include "core/error.hpp"

namespace lockstep::test {
namespace {

struct Ending {
  int code = -1;
  std::string output;  // stdout and stderr
  double seconds = 0;
};

Ending run(const std::string& command) {
  const auto start = std::chrono::steady_clock::now();
  Ending ending;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return ending;
  std::array<char, 4096> buffer;
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) ending.output += buffer.data();
  const int status = pclose(pipe);
  ending.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  ending.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return ending;
}

// timeout's own code 124 stands for a hang.
Ending run_ranks(int ranks, const std::string& command) {
  return run(build_string("timeout 60 ", LOCKSTEP_MPIEXEC, " -n ", ranks, " ", command));
}

Ending launch(int ranks, const std::string& arguments) {
  return run_ranks(ranks, std::string(LOCKSTEP_FAILING_PROGRAM) + " " + arguments);
}

int occurrences(const std::string& text, const std::string& word) {
  int count = 0;
  for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

// Ranks must be gone within 10 s; the rest is start-up on a machine busy with other tests.
constexpr double gone_within = 30;

TEST(Abort, ErrorOnOneRankEndsAllRanks) {
  const Ending ending = launch(3, "throw");

  EXPECT_EQ(ending.code, 1) << ending.output;
  EXPECT_EQ(occurrences(ending.output, "error: lost its shard"), 1) << ending.output;
  EXPECT_LT(ending.seconds, gone_within);
}

TEST(Abort, ErrorIsNotHeldUpByAReceiveUnderWay) {
  const Ending ending = launch(3, "throw_with_receive_pending");

  EXPECT_EQ(ending.code, 1) << ending.output;
  EXPECT_EQ(occurrences(ending.output, "error: lost its shard"), 1) << ending.output;
  EXPECT_LT(ending.seconds, gone_within);
}

TEST(Abort, ErrorThatLeavesTheEnvironmentOfOneRankEndsAllRanks) {
  const Ending ending = launch(3, "throw outside");

  EXPECT_EQ(ending.code, 1) << ending.output;
  EXPECT_LT(ending.seconds, gone_within);
}

TEST(Abort, KilledRankEndsAllRanks) {
  const Ending ending = launch(3, "kill");

  EXPECT_EQ(ending.code, 128 + 9) << ending.output;
  EXPECT_LT(ending.seconds, gone_within);
}

TEST(Agreement, EndsAllRanksAlikeWithOneLine) {
  for (const char* arguments :
       {"agree", "agree outside", "agree_with_receive_pending", "agree_with_send_pending"}) {
    const Ending ending = launch(3, arguments);

    EXPECT_EQ(ending.code, 78) << arguments << ": " << ending.output;
    EXPECT_LT(ending.seconds, gone_within) << arguments;
    if (std::string(arguments) != "agree outside") {
      EXPECT_EQ(occurrences(ending.output, "error: lost its shard"), 1) << ending.output;
    }
  }
}

TEST(MpiMain, TellsOnRankZeroWhatFailedElsewhereAndFailsEverywhere) {
  const Ending ending = run_ranks(3, LOCKSTEP_FAILING_TEST " --gtest_color=no");

  EXPECT_EQ(ending.code, 1) << ending.output;
  EXPECT_EQ(occurrences(ending.output, "[  FAILED  ] OnTheLastRank.Fails ("), 1) << ending.output;
  EXPECT_NE(ending.output.find("[rank 2] "), std::string::npos) << ending.output;
  EXPECT_NE(ending.output.find("seen on the last rank"), std::string::npos) << ending.output;
  EXPECT_EQ(occurrences(ending.output, "[       OK ] OnTheLastRank.Passes ("), 1) << ending.output;
}

// One line, and all ranks are gone, whichever of them hangs in the library.
TEST(Deadline, EndsAllRanksWhenMpiDoesNotReturn) {
  for (const char* call : {"init", "finalize"}) {
    for (const int rank : {0, 2}) {
      const Ending ending =
          run_ranks(3, build_string("-x LOCKSTEP_START_SECONDS=2 ", LOCKSTEP_HANGING_PROGRAM, " ",
                                    call, " ", rank));

      EXPECT_EQ(ending.code, 76) << call << ' ' << rank << ": " << ending.output;
      EXPECT_GE(occurrences(ending.output, "has not returned for 2 s"), 1) << ending.output;
      EXPECT_LT(ending.seconds, gone_within);
    }
  }
}

TEST(Environment, FinishedRunsEndWithZero) {
  const Ending ending = launch(3, "none");

  EXPECT_EQ(ending.code, 0) << ending.output;
  EXPECT_EQ(ending.output, "ranks 3\n");
}

TEST(Environment, WithoutALauncherThereIsOneRankAndAgreementStillHolds) {
  const std::string alone = std::string("env -u OMPI_COMM_WORLD_SIZE -u PMI_RANK -u PMIX_RANK ") +
                            "SLURM_PROCID=0 " + LOCKSTEP_FAILING_PROGRAM;

  const Ending done = run(alone + " none"), failed = run(alone + " agree"),
               thrown = run(alone + " throw");

  EXPECT_EQ(done.code, 0) << done.output;
  EXPECT_EQ(done.output, "ranks 1\n");
  EXPECT_EQ(failed.code, 78) << failed.output;
  EXPECT_EQ(thrown.code, 1) << thrown.output;
}

}  // namespace
}  // namespace lockstep::test
