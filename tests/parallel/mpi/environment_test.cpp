#include "parallel/mpi/environment.hpp"

#include <cstdlib>
#include <new>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/mpi.hpp"

namespace lockstep::test {
namespace {

struct Outcome {
  std::string message;
  ExitCode code = ExitCode::done;
  bool speaker = false;
};

Outcome agree(const std::function<void()>& body) {
  try {
    environment().agree(body);
  } catch (const AgreedError& error) {
    return {error.what(), error.code(), error.speaker()};
  }
  return {};
}

TEST(Environment, HasTheSizeTheLauncherWasAskedFor) {
  const char* size = std::getenv("OMPI_COMM_WORLD_SIZE");
  if (size == nullptr) GTEST_SKIP() << "not started by Open MPI's mpirun";

  EXPECT_EQ(environment().size(), std::atoi(size));
  EXPECT_EQ(environment().world().size(), environment().size());
  EXPECT_EQ(environment().world().rank(), environment().rank());
}

TEST(Environment, AllRanksOfThisMachineAreLocal) {
  EXPECT_EQ(environment().local_size(), environment().size());
  EXPECT_EQ(environment().local_rank(), environment().rank());
}

TEST(Environment, SplitOrdersByKey) {
  const int rank = environment().rank(), size = environment().size();

  const auto reversed = environment().split(0, -rank);

  EXPECT_EQ(reversed->rank(), size - 1 - rank);
  EXPECT_EQ(reversed->size(), size);
}

TEST(Environment, SplitByColorMakesGroupsOfTheirOwn) {
  const int rank = environment().rank(), size = environment().size();

  const auto halves = environment().split(rank % 2, rank);
  Tensor sum = Tensor::from<std::int32_t>({rank}, {1});
  halves->all_reduce(sum, Reduce::sum, "test");

  int expected = 0;
  for (int peer = rank % 2; peer < size; peer += 2) expected += peer;
  EXPECT_EQ(sum.data<std::int32_t>()[0], expected);
}

TEST(Environment, SplitGivesNullForANegativeColor) {
  const auto group = environment().split(environment().rank() == 0 ? 0 : -1, 0);

  EXPECT_EQ(group != nullptr, environment().rank() == 0);
}

TEST(Agree, PassesWhenNoRankFails) {
  int calls = 0;

  const Outcome outcome = agree([&] { ++calls; });

  EXPECT_EQ(outcome.code, ExitCode::done);
  EXPECT_EQ(calls, 1);
}

TEST(Agree, GivesTheFailureOfOneRankToAll) {
  const int last = environment().size() - 1;

  const Outcome outcome = agree([&] {
    if (environment().rank() == last) throw Error("shard_7.h5: truncated", ExitCode::failed);
  });

  EXPECT_EQ(outcome.message, "shard_7.h5: truncated");
  EXPECT_EQ(outcome.code, ExitCode::failed);
  EXPECT_EQ(outcome.speaker, environment().rank() == last);
}

TEST(Agree, LetsTheLowestOfSeveralFailingRanksSpeak) {
  const int lowest = environment().size() > 1 ? 1 : 0;

  const Outcome outcome = agree([&] {
    const int rank = environment().rank();
    if (rank >= lowest) {
      throw Error(build_string("rank ", rank),
                  rank == lowest ? ExitCode::wrong_ranks : ExitCode::failed);
    }
  });

  EXPECT_EQ(outcome.message, build_string("rank ", lowest));
  EXPECT_EQ(outcome.code, ExitCode::wrong_ranks);
  EXPECT_EQ(outcome.speaker, environment().rank() == lowest);
}

TEST(Agree, CountsOtherExceptionsAsFailures) {
  const Outcome outcome = agree([&] { throw std::bad_alloc(); });

  EXPECT_EQ(outcome.message, std::bad_alloc().what());
  EXPECT_EQ(outcome.code, ExitCode::failed);
}

TEST(Agree, KeepsTheSpeakerOfAnInnerAgreement) {
  const int last = environment().size() - 1;

  const Outcome outcome =
      agree([&] { environment().agree([&] { require(environment().rank() != last, "--tp 3"); }); });

  EXPECT_EQ(outcome.message, "--tp 3");
  EXPECT_EQ(outcome.code, ExitCode::refused);
  EXPECT_EQ(outcome.speaker, environment().rank() == last);
}

TEST(Agree, WorksAgainAfterAFailure) {
  (void)agree([] { fail("once"); });

  EXPECT_EQ(agree([] {}).code, ExitCode::done);
}

TEST(Agree, AcceptsAnEmptyMessage) {
  const Outcome outcome = agree([] { throw Error(""); });

  EXPECT_EQ(outcome.message, "");
  EXPECT_EQ(outcome.code, ExitCode::refused);
}

TEST(MpiLibraryVersion, IsNameAndNumber) {
  const std::string version = mpi_library_version();

  EXPECT_EQ(version.find_first_of("\n\t,"), std::string::npos) << version;
  EXPECT_NE(version.find('.'), std::string::npos) << version;
}

}  // namespace
}  // namespace lockstep::test
