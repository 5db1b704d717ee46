#include "parallel/pipeline/schedules.hpp"

#include <algorithm>
#include <tuple>

#include <gtest/gtest.h>

#include "parallel/pipeline/check.hpp"
#include "tests/parallel/pipeline/lists.hpp"

namespace lockstep {
namespace {

using test::error_of;
using test::Lists;
using test::printed;

constexpr int most_microbatches = 8;
const std::vector<ActionTimes> all_times = {{1, 1, 1}, {2, 2, 2}, {3, 4, 2}, {1, 2, 1}, {5, 5, 6}};

double work(const ActionTimes& times, int M) {
  return M * (times.forward + times.backward + times.weight);
}

TEST(Schedules, GpipeRunsAllForwardsThenAllBackwards) {
  EXPECT_EQ(printed(make_schedule("gpipe", 2, 3)),
            (Lists{"F0 F1 F2 B0 B1 B2", "F0 F1 F2 B0 B1 B2"}));
}

TEST(Schedules, OneFOneBAlternatesAfterTheWarmUp) {
  EXPECT_EQ(printed(make_schedule("1f1b", 1, 3)), (Lists{"F0 B0 F1 B1 F2 B2"}));
  EXPECT_EQ(printed(make_schedule("1f1b", 2, 4)),
            (Lists{"F0 F1 B0 F2 B1 F3 B2 B3", "F0 B0 F1 B1 F2 B2 F3 B3"}));
  EXPECT_EQ(
      printed(make_schedule("1f1b", 3, 4)),
      (Lists{"F0 F1 F2 B0 F3 B1 B2 B3", "F0 F1 B0 F2 B1 F3 B2 B3", "F0 B0 F1 B1 F2 B2 F3 B3"}));
}

TEST(Schedules, OneFOneBWithFewMicrobatchesHasNoSteadyState) {
  EXPECT_EQ(printed(make_schedule("1f1b", 4, 1)), (Lists{"F0 B0", "F0 B0", "F0 B0", "F0 B0"}));
  EXPECT_EQ(printed(make_schedule("1f1b", 4, 2)),
            (Lists{"F0 F1 B0 B1", "F0 F1 B0 B1", "F0 F1 B0 B1", "F0 B0 F1 B1"}));
}

TEST(Schedules, InterleavedTakesPMicrobatchesOfEachVirtualStageInTurn) {
  EXPECT_EQ(printed(make_schedule("interleaved", 2, 2)),
            (Lists{"0F0 0F1 2F0 2F1 2B0 2B1 0B0 0B1", "1F0 1F1 3F0 3B0 3F1 3B1 1B0 1B1"}));
}

TEST(Schedules, ZeroBubbleOneHoldsWeightGradientsBack) {
  EXPECT_EQ(printed(make_schedule("zb-h1", 2, 3)),
            (Lists{"F0 F1 B0 W0 F2 B1 W1 B2 W2", "F0 B0 F1 B1 W0 F2 B2 W1 W2"}));
}

TEST(Schedules, ZeroBubbleVGoesDownTheRanksAndBackUp) {
  EXPECT_EQ(printed(make_schedule("zb-v", 1, 2)),
            (Lists{"0F0 1F0 1B0 1W0 0F1 0B0 0W0 1F1 1B1 1W1 0B1 0W1"}));
  EXPECT_EQ(make_schedule("zb-v", 4, 8).actions[3].front(), (Action{Action::Kind::forward, 3, 0}));
  EXPECT_EQ(make_schedule("zb-v", 4, 8).actions[3][1], (Action{Action::Kind::forward, 4, 0}));
}

// Stages, microbatches.
class EverySize : public ::testing::TestWithParam<std::tuple<int, int>> {
 protected:
  int P() const { return std::get<0>(GetParam()); }
  int M() const { return std::get<1>(GetParam()); }
};

TEST_P(EverySize, GpipeAndOneFOneBLoseOneStepPerFurtherStage) {
  for (const ActionTimes& times : all_times) {
    const double makespan = work(times, M()) + work(times, P() - 1);

    for (const char* name : {"gpipe", "1f1b"}) {
      const Playback playback = play(make_schedule(name, P(), M()), times);
      EXPECT_EQ(playback.makespan, makespan) << name;
      EXPECT_EQ(playback.bubble_fraction, 1 - work(times, M()) / makespan) << name;
    }
  }
}

TEST_P(EverySize, GpipeHoldsAllAndOneFOneBAsManyAsStagesFollow) {
  std::vector<double> all(static_cast<std::size_t>(P()), M()), follow;
  for (int rank = 0; rank < P(); ++rank) follow.push_back(std::min(M(), P() - rank));

  EXPECT_EQ(play(make_schedule("gpipe", P(), M())).peak_activations, all);
  EXPECT_EQ(play(make_schedule("1f1b", P(), M())).peak_activations, follow);
}

TEST_P(EverySize, InterleavedDividesTheBubbleByVirtualStages) {
  for (int V : {1, 2, 4}) {
    const int microbatches = M() * P();  // P must divide them
    const Schedule schedule = make_schedule("interleaved", P(), microbatches, V);
    for (const ActionTimes& times : all_times) {
      EXPECT_EQ(play(schedule, times).makespan,
                work(times, microbatches) + work(times, P() - 1) / V);
    }
    const std::vector<double> peaks = play(schedule).peak_activations;
    for (int rank = 0; rank < P(); ++rank) {
      const int chunks = std::min(V * microbatches, 2 * (P() - rank - 1) + (V - 1) * P() + 1);
      EXPECT_EQ(peaks[static_cast<std::size_t>(rank)], static_cast<double>(chunks) / V);
    }
  }
}

TEST_P(EverySize, ZeroBubbleOneFillsTheDrainAndHoldsNoMoreThanP) {
  for (const ActionTimes& times : all_times) {
    const Playback playback = play(make_schedule("zb-h1", P(), M()), times);

    for (double peak : playback.peak_activations) EXPECT_EQ(peak, std::min(M(), P()));
    // F + B - W as long as the weight gradients fit into the drain; never below the time the last
    // stage waits to start.
    const double step = std::max(times.forward, times.forward + times.backward - times.weight);
    if (M() >= P()) {
      EXPECT_EQ(playback.makespan, work(times, M()) + (P() - 1) * step);
    }
  }
}

TEST_P(EverySize, ZeroBubbleVLosesOnlyTheStartOfTheLastRank) {
  const int microbatches = 2 * P() + M() - 1;

  for (const ActionTimes& times : {ActionTimes{1, 1, 1}, ActionTimes{2, 2, 2}}) {
    const Playback playback = play(make_schedule("zb-v", P(), microbatches), times);

    EXPECT_EQ(playback.makespan, work(times, microbatches) + (P() - 1) * times.forward / 2);
    for (double peak : playback.peak_activations) EXPECT_LE(peak, P());
  }
}

TEST_P(EverySize, BackwardPassesOfAStageRunInMicrobatchOrder) {
  for (const std::string& name : schedule_names()) {
    const int microbatches = name == "interleaved" ? M() * P()
                             : name == "zb-v"      ? 2 * P() + M()
                                                   : M();
    const Schedule schedule = make_schedule(name, P(), microbatches);
    std::vector<int> next(static_cast<std::size_t>(schedule.all_stages()));

    for (const auto& actions : schedule.actions) {
      for (const Action& a : actions) {
        if (a.kind != Action::Kind::backward) continue;
        EXPECT_EQ(a.microbatch, next[static_cast<std::size_t>(a.stage)]++) << name;
      }
    }
    EXPECT_EQ(next, std::vector<int>(next.size(), microbatches)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Schedules,
                         EverySize,
                         ::testing::Combine(::testing::Values(1, 2, 3, 4, 8),
                                            ::testing::Range(1, most_microbatches + 1)));

TEST(Schedules, AreKnownByName) {
  EXPECT_EQ(schedule_names(),
            (std::vector<std::string>{"gpipe", "1f1b", "interleaved", "zb-h1", "zb-v"}));
}

TEST(Schedules, RefusalsNameOptionValueAndCure) {
  const auto refusal = [](const char* name, int P, int M, int V = 0) {
    return error_of([&] { make_schedule(name, P, M, V); });
  };

  EXPECT_EQ(refusal("1f1", 2, 2), "--schedule 1f1 is not known: did you mean 1f1b?");
  EXPECT_EQ(refusal("gpipe", 2, 2, 3),
            "--virtual-stages 3 does not go with --schedule gpipe, which has 1 per rank: leave it "
            "out, or choose "
            "--schedule interleaved");
  EXPECT_NE(refusal("zb-v", 2, 4, 1).find("--virtual-stages 1"), std::string::npos);
  EXPECT_NE(refusal("zb-v", 4, 7).find("at least 8 microbatches for 4 stages, not 7"),
            std::string::npos);
  EXPECT_NE(refusal("interleaved", 4, 6).find("divisible by the 4 stages, not 6"),
            std::string::npos);
  EXPECT_NE(refusal("interleaved", 4, 8, -1).find("--virtual-stages -1"), std::string::npos);
  EXPECT_NE(refusal("gpipe", 0, 1).find("0 stages"), std::string::npos);
  EXPECT_NE(refusal("gpipe", 1, -2).find("-2 microbatches"), std::string::npos);
  EXPECT_NE(refusal("gpipe", 2147483647, 2147483647).find("too many"), std::string::npos);
  EXPECT_NE(refusal("interleaved", 2147483647, 2147483647, 2147483647).find("too many"),
            std::string::npos);
}

}  // namespace
}  // namespace lockstep
