#include "parallel/pipeline/show.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "parallel/pipeline/schedules.hpp"

namespace lockstep {
namespace {

TEST(Show, GridShowsWorkAndIdleTime) {
  EXPECT_EQ(show_text(make_schedule("1f1b", 2, 2)),
            "rank 0  F0 F1 ..... B0--- .. B1---\n"
            "rank 1  .. F0 B0--- F1 B1---\n"
            "makespan 9\n"
            "bubble fraction 0.333333\n"
            "peak activations 2 1  (stage-microbatches, by rank)\n");
}

TEST(Show, GridFollowsTheTimes) {
  EXPECT_EQ(show_text(make_schedule("zb-h1", 2, 1), {2, 3, 1}),
            "rank 0  F0--- .............. B0------ W0\n"
            "rank 1  ..... F0--- B0------ W0\n"
            "makespan 11\n"
            "bubble fraction 0.454545\n"
            "peak activations 1 1  (stage-microbatches, by rank)\n");
}

TEST(Show, TextLeavesOutAGridNobodyCanRead) {
  const std::string text = show_text(make_schedule("gpipe", 1, 1), {1e-9, 1, 1});

  EXPECT_EQ(text.rfind("the grid is too large to show: see --json\nmakespan 2\n", 0), 0u) << text;
}

TEST(Show, JsonHoldsFiguresAndActions) {
  const nlohmann::json shown =
      nlohmann::json::parse(show_json(make_schedule("interleaved", 2, 2), {1, 1, 2}));

  EXPECT_EQ(shown.size(), 4u);
  EXPECT_EQ(shown.at("makespan"), 10.0);
  EXPECT_EQ(shown.at("bubble_fraction"), 1 - 8.0 / 10.0);
  EXPECT_EQ(shown.at("peak_activations"), (std::vector<double>{2, 1.5}));
  EXPECT_EQ(shown.at("actions"), (std::vector<std::vector<std::string>>{
                                     {"0F0", "0F1", "2F0", "2F1", "2B0", "2B1", "0B0", "0B1"},
                                     {"1F0", "1F1", "3F0", "3B0", "3F1", "3B1", "1B0", "1B1"}}));
}

TEST(Show, JsonLeavesTheStageOutWhereARankHoldsOne) {
  const nlohmann::json shown = nlohmann::json::parse(show_json(make_schedule("zb-h1", 1, 1)));

  EXPECT_EQ(shown.at("actions"), (std::vector<std::vector<std::string>>{{"F0", "B0", "W0"}}));
}

}  // namespace
}  // namespace lockstep
