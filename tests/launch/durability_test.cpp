// Small parts that keep a run alive: who owns its directory, when its time is over, what is done
// about numbers that are not finite, and which drills are lawful.
#include <filesystem>

#include <gtest/gtest.h>

#include "core/durable_file.hpp"
#include "launch/drill.hpp"
#include "launch/incarnation.hpp"
#include "launch/nonfinite.hpp"
#include "launch/replica_check.hpp"
#include "launch/time_limit.hpp"
#include "parallel/checkpoint/checkpoint.hpp"
#include "tests/support/error_of.hpp"
#include "tests/support/temporary_directory.hpp"

namespace lockstep {
namespace {

TEST(Incarnation, TheLastToTakeADirectoryOwnsIt) {
  const test::TemporaryDirectory run;
  const Incarnation first = Incarnation::take(run.path());
  EXPECT_FALSE(first.superseded());

  const Incarnation second = Incarnation::take(run.path());

  EXPECT_TRUE(first.superseded());
  EXPECT_FALSE(second.superseded());
  EXPECT_EQ(second.number(), first.number() + 1);
  const test::Failure failure = test::error_of([&] { first.check(); });
  EXPECT_EQ(failure.code, ExitCode::failed);
  EXPECT_TRUE(failure.names("says 2, this one is 1"));
}

TEST(Incarnation, AFileThatIsGoneOrDamagedIsNoProof) {
  const test::TemporaryDirectory run;
  const Incarnation own = Incarnation::take(run.path());

  std::filesystem::remove(run.file("incarnation"));
  EXPECT_FALSE(own.superseded());
  write_file_durably(run.file("incarnation"), "");
  EXPECT_FALSE(own.superseded());
}

TEST(Incarnation, ItsWordMarksTemporaryNames) {
  const test::TemporaryDirectory run;
  Incarnation::take(run.path());
  const Incarnation own = Incarnation::take(run.path());

  EXPECT_EQ(incarnation_in(".tmp-12." + own.word()), 2);
  EXPECT_EQ(incarnation_in(".tmp-12"), -1);
  EXPECT_EQ(incarnation_in("config.ini"), -1);
}

TEST(TimeLimit, ReadsSecondsAndHours) {
  EXPECT_EQ(parse_duration("90"), 90);
  EXPECT_EQ(parse_duration("0.5"), 0.5);
  EXPECT_EQ(parse_duration("01:02:03"), 3723);
  for (const char* text : {"", "0", "-1", "1:2", "1:60:00", "a", "1:2:3:4", "nan", "00:00:00"})
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
}

TEST(TimeLimit, LeavesRoomForAStepAndASave) {
  TimeLimit limit(1000.0);
  EXPECT_FALSE(limit.near());

  limit.step_took(100);
  EXPECT_FALSE(limit.near());
  limit.save_took(400);
  EXPECT_TRUE(limit.near());
}

TEST(NonFinitePolicy, StopsAtOnceByDefault) {
  NonFinitePolicy policy(OnNonFinite::stop);

  const test::Failure failure =
      test::error_of([&] { policy.decide(7, "step 7: the loss is nan"); });

  EXPECT_EQ(failure.code, ExitCode::failed);
  EXPECT_TRUE(failure.names("step 7: the loss is nan"));
}

TEST(NonFinitePolicy, SkipsAFewStepsInARow) {
  NonFinitePolicy policy(OnNonFinite::skip);
  for (int i = 0; i < NonFinitePolicy::most_skips; ++i) policy.decide(i, "");
  policy.finite(10);
  for (int i = 0; i < NonFinitePolicy::most_skips; ++i)
    EXPECT_EQ(policy.decide(20 + i, ""), OnNonFinite::skip);

  EXPECT_TRUE(test::error_of([&] { policy.decide(30, ""); }).names("gives up"));
}

TEST(NonFinitePolicy, RewindsUntilItCannotGetPastAStep) {
  NonFinitePolicy policy(OnNonFinite::rewind);
  policy.decide(10, "");
  policy.finite(9);   // done again
  policy.finite(11);  // past it
  for (int i = 0; i < NonFinitePolicy::most_rewinds; ++i) {
    EXPECT_EQ(policy.decide(20, ""), OnNonFinite::rewind);
    policy.finite(19);
  }

  EXPECT_TRUE(test::error_of([&] { policy.decide(20, ""); }).names("step 20"));
}

TEST(Drill, ReadsItsFields) {
  const Drill slow = parse_drill("slow:12:3:0.5", "--drill");
  EXPECT_EQ(slow.kind, Drill::Kind::slow);
  EXPECT_EQ(slow.step, 12);
  EXPECT_EQ(slow.rank, 3);
  EXPECT_EQ(slow.seconds, 0.5);
  EXPECT_EQ(parse_drill("nonfinite:4", "--drill").rank, 0);

  for (const char* spec : {"", "kill", "kill:1", "kill:0:0", "kill:1:-1", "kill:1:1:1", "slow:1:1",
                           "slow:1:1:-2", "burn:1:1", "nonfinite:x"}) {
    EXPECT_TRUE(test::error_of([&] { parse_drill(spec, "--drill"); }).names("--drill is")) << spec;
  }
}

TEST(ReplicaCheck, TheReplicaThatDiffersFromTheMostIsTheOddOne) {
  EXPECT_FALSE(odd_one({7}));
  EXPECT_FALSE(odd_one({7, 7, 7}));

  const auto first = odd_one({5, 7, 7, 7}), last = odd_one({7, 7, 5}), of_two = odd_one({5, 7});

  ASSERT_TRUE(first && last && of_two);
  EXPECT_EQ(first->odd, 0);
  EXPECT_EQ(first->other, 1);
  EXPECT_EQ(last->odd, 2);
  EXPECT_EQ(last->other, 0);
  EXPECT_NE(of_two->odd, of_two->other);
}

}  // namespace
}  // namespace lockstep
