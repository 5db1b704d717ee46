#include "parallel/pipeline/action.hpp"

#include <gtest/gtest.h>

#include "tests/parallel/pipeline/lists.hpp"

namespace lockstep {
namespace {

using test::error_of;
using Kind = Action::Kind;

TEST(Action, PrintsStageKindAndMicrobatch) {
  EXPECT_EQ(to_string({Kind::forward, 5, 0}, false), "F0");
  EXPECT_EQ(to_string({Kind::backward, 5, 3}, true), "5B3");
  EXPECT_EQ(to_string({Kind::backward_weight, 0, 12}, true), "0W12");
}

TEST(Action, ParsesWhatItPrints) {
  for (Kind kind : {Kind::forward, Kind::backward, Kind::backward_weight}) {
    for (int stage : {0, 7, 1023}) {
      for (int microbatch : {0, 9, 2147483647}) {
        const Action action{kind, stage, microbatch};

        EXPECT_EQ(parse_action(to_string(action, true), 3), action);
        EXPECT_EQ(parse_action(to_string(action, false), stage), action);
      }
    }
  }
}

TEST(Action, RefusesWhatIsNoAction) {
  for (const char* text : {"", "F", "0", "F-1", "-1F0", "f0", "F0 ", " F0", "F0F0", "X1", "1",
                           "F+1", "F2147483648", "99999999999F0", "F1.5", "0x1F2"}) {
    EXPECT_NE(
        error_of([&] { parse_action(text, 0); }).find("'" + std::string(text) + "' is no action"),
        std::string::npos)
        << text;
  }
}

TEST(Schedule, PlacesVirtualStagesRoundTheRanksOrAsAV) {
  Schedule schedule{.name = "", .stages = 3, .virtual_stages = 2, .actions = {}};
  std::vector<int> round, v;
  for (int stage = 0; stage < 6; ++stage) round.push_back(schedule.rank_of(stage));
  schedule.placement = Placement::v;
  for (int stage = 0; stage < 6; ++stage) v.push_back(schedule.rank_of(stage));

  EXPECT_EQ(round, (std::vector<int>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(v, (std::vector<int>{0, 1, 2, 2, 1, 0}));
}

}  // namespace
}  // namespace lockstep
