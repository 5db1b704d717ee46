// Who is late, from what the ranks say.
#include "launch/watchdog.hpp"

#include <gtest/gtest.h>

#include "tests/support/error_of.hpp"

namespace lockstep {
namespace {

Answer at_work(std::int64_t step, bool patient = false) {
  Answer answer;
  answer.step = step;
  answer.phase = "step";
  answer.patient = patient;
  return answer;
}

Answer waiting(std::int64_t step) {
  Answer answer = at_work(step);
  answer.waiting = "all_reduce #7 of gradient over dp, 64 bytes";
  return answer;
}

TEST(Watchdog, NamesTheRankThatDoesNotAnswer) {
  const Verdict verdict = judge({{0, waiting(4)}, {1, waiting(4)}, {3, at_work(4, true)}}, 4, 5);

  EXPECT_TRUE(verdict.stuck);
  EXPECT_EQ(verdict.late, (std::vector<int>{2}));
  EXPECT_NE(verdict.message.find("rank 2 is late"), std::string::npos) << verdict.message;
  EXPECT_NE(verdict.message.find("rank 0: step 4, step, waits for all_reduce #7 of gradient"),
            std::string::npos)
      << verdict.message;
}

TEST(Watchdog, NamesTheRankThatWaitsForNobody) {
  const Verdict verdict = judge({{0, waiting(4)}, {1, at_work(4)}, {2, waiting(4)}}, 3, 5);

  EXPECT_TRUE(verdict.stuck);
  EXPECT_EQ(verdict.late, (std::vector<int>{1}));
}

TEST(Watchdog, NamesTheRankBehindWhenAllWait) {
  const Verdict verdict = judge({{0, waiting(5)}, {1, waiting(4)}}, 2, 5);

  EXPECT_TRUE(verdict.stuck);
  EXPECT_EQ(verdict.late, (std::vector<int>{1}));
}

TEST(Watchdog, LeavesARankThatSavesItsTime) {
  const Verdict verdict = judge({{0, at_work(4, true)}, {1, waiting(4)}}, 2, 5);

  EXPECT_FALSE(verdict.stuck);
}

TEST(Watchdog, AnswersReadBackAndCutOnesDoNot) {
  Activity activity;
  const std::string axis = "tp";
  activity.enter("save", 12, true);
  activity.begin_wait({"receive", &axis, "stage", 3, 4096, 17});
  const std::string text = print_answer(activity.snapshot());

  const Answer answer = parse_answer(text);

  EXPECT_EQ(answer.step, 12);
  EXPECT_EQ(answer.phase, "save");
  EXPECT_TRUE(answer.patient);
  EXPECT_EQ(answer.waiting, "receive #17 of stage over tp with rank 3, 4096 bytes");
  for (std::size_t length = 0; length < text.size(); ++length)
    test::error_of([&] { parse_answer(text.substr(0, length)); });
}

}  // namespace
}  // namespace lockstep
