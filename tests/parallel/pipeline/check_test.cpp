#include "parallel/pipeline/check.hpp"

#include <algorithm>
#include <limits>

#include <gtest/gtest.h>

#include "parallel/pipeline/schedules.hpp"
#include "tests/parallel/pipeline/lists.hpp"

namespace lockstep {
namespace {

using test::error_of;
using test::Lists;
using test::written;

std::string refusal(const Lists& lists, int microbatches, bool splits_backward = false) {
  return error_of([&] { play(written(lists, microbatches, splits_backward)); });
}

TEST(Check, StartsActionsWhenTheirInputsAreThere) {
  const Playback playback = play(written({"F0 F1 B0 B1", "F0 B0 F1 B1"}, 2), {1, 2, 3});

  EXPECT_EQ(playback.start[0], (std::vector<double>{0, 1, 7, 13}));
  EXPECT_EQ(playback.start[1], (std::vector<double>{1, 2, 7, 8}));
  EXPECT_EQ(playback.makespan, 18);
  EXPECT_EQ(playback.bubble_fraction, 1 - 12.0 / 18.0);
  EXPECT_EQ(playback.peak_activations, (std::vector<double>{2, 1}));
}

TEST(Check, TakesActionsAsLongAsEachTook) {
  const std::vector<std::vector<double>> times{{1, 3, 5, 5}, {1, 5, 1, 5}};

  const Playback playback = play(written({"F0 F1 B0 B1", "F0 B0 F1 B1"}, 2), times);

  EXPECT_EQ(playback.start[0], (std::vector<double>{0, 1, 7, 13}));
  EXPECT_EQ(playback.start[1], (std::vector<double>{1, 2, 7, 8}));
  EXPECT_EQ(playback.makespan, 18);
  EXPECT_EQ(playback.bubble_fraction, 1 - 13.0 / 18.0);
}

TEST(Check, HoldsActivationsUntilTheWeightGradientIsThere) {
  EXPECT_EQ(play(written({"F0 B0 F1 B1 W0 W1"}, 2, true)).peak_activations,
            (std::vector<double>{2}));
  EXPECT_EQ(play(written({"F0 B0 W0 F1 B1 W1"}, 2, true)).peak_activations,
            (std::vector<double>{1}));
}

TEST(Check, DeadlockNamesWhoWaitsForWhat) {
  EXPECT_EQ(refusal({"F0 B0 F1 B1", "F0 F1 B0 B1"}, 2),
            "schedule by-hand: deadlock: rank 0 waits with B0 for B0 of rank 1; rank 1 waits with "
            "F1 for F1 of rank 0");
}

TEST(Check, SwappedForwardAndBackwardWaitForThemselves) {
  EXPECT_EQ(
      refusal({"B0 F0"}, 1),
      "schedule by-hand: deadlock: rank 0 waits with B0 for F0 of its own, which comes later");
  EXPECT_EQ(
      refusal({"F0 W0 B0"}, 1, true),
      "schedule by-hand: deadlock: rank 0 waits with W0 for B0 of its own, which comes later");
}

TEST(Check, WeightGradientsStayInMicrobatchOrder) {
  EXPECT_EQ(
      refusal({"F0 F1 B1 B0"}, 2),
      "schedule by-hand: rank 0 has B0 after B1: weight gradients are added in microbatch order");
  EXPECT_NE(refusal({"F0 F1 B0 B1 W1 W0"}, 2, true).find("rank 0 has W0 after W1"),
            std::string::npos);
}

TEST(Check, MissingActionsAreNamed) {
  EXPECT_EQ(refusal({"F0 F1 B0 B1", "F0 B0 F1"}, 2), "schedule by-hand: B1 is missing on rank 1");
  EXPECT_EQ(refusal({"F0 B0", "B0"}, 1), "schedule by-hand: F0 is missing on rank 1");
  EXPECT_EQ(refusal({"F0 B0"}, 1, true), "schedule by-hand: W0 is missing on rank 0");
}

TEST(Check, RepeatedActionsAreNamed) {
  EXPECT_EQ(refusal({"F0 F0 B0"}, 1), "schedule by-hand: rank 0 has F0 twice");
  EXPECT_EQ(refusal({"F0 B0 B0"}, 1), "schedule by-hand: rank 0 has B0 twice");
}

TEST(Check, ActionsOfOthersAreNamed) {
  EXPECT_NE(refusal({"F0 B0", "0F0 B0"}, 1).find("rank 1 has 0F0, but rank 0 holds stage 0"),
            std::string::npos);
  EXPECT_NE(refusal({"F0 B0 F7"}, 1).find("only 1 virtual stages and 1 microbatches"),
            std::string::npos);
  EXPECT_NE(refusal({"F0 B0 W0"}, 1).find("B is already the whole backward pass"),
            std::string::npos);
  Schedule schedule = written({"F0 B0", "F0 B0"}, 1);
  schedule.stages = 3;
  EXPECT_NE(error_of([&] { play(schedule); }).find("2 lists of actions for 3 ranks"),
            std::string::npos);
}

TEST(Check, EveryLostOrRepeatedActionIsFound) {
  for (const char* name : {"gpipe", "1f1b", "interleaved", "zb-h1", "zb-v"}) {
    const Schedule good = make_schedule(name, 2, 4);
    for (std::size_t rank = 0; rank < good.actions.size(); ++rank) {
      for (std::size_t i = 0; i < good.actions[rank].size(); ++i) {
        const auto at = static_cast<std::ptrdiff_t>(i);
        Schedule lost = good, repeated = good;
        lost.actions[rank].erase(lost.actions[rank].begin() + at);
        repeated.actions[rank].push_back(good.actions[rank][i]);

        EXPECT_NE(error_of([&] { play(lost); }).find("is missing on rank"), std::string::npos)
            << name << i;
        EXPECT_NE(error_of([&] { play(repeated); }).find(" twice"), std::string::npos) << name << i;
      }
    }
  }
}

TEST(Check, EveryPassBeforeItsOwnForwardIsFound) {
  const Schedule good = make_schedule("zb-h1", 3, 4);
  for (std::size_t rank = 0; rank < good.actions.size(); ++rank) {
    for (std::size_t i = 0; i < good.actions[rank].size(); ++i) {
      const Action& a = good.actions[rank][i];
      if (a.kind == Action::Kind::forward) continue;
      Schedule bad = good;
      auto& list = bad.actions[rank];
      const auto own =
          std::find(list.begin(), list.end(), Action{Action::Kind::forward, a.stage, a.microbatch});
      std::rotate(own, list.begin() + static_cast<std::ptrdiff_t>(i),
                  list.begin() + static_cast<std::ptrdiff_t>(i) + 1);

      EXPECT_NE(error_of([&] { play(bad); }), "") << "rank " << rank << ", " << to_string(a, false);
    }
  }
}

TEST(Check, RefusesTimesThatAreNone) {
  const Schedule schedule = make_schedule("gpipe", 2, 2);

  EXPECT_NE(error_of([&] {
              play(schedule, {-1, 2, 1});
            }).find("--times -1,2,1"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              play(schedule, {1, std::numeric_limits<double>::quiet_NaN(), 1});
            }),
            "");
  EXPECT_NE(error_of([&] { play(schedule, {1, std::numeric_limits<double>::infinity(), 1}); }), "");
  EXPECT_EQ(play(schedule, {0, 0, 0}).bubble_fraction, 0);
}

}  // namespace
}  // namespace lockstep
