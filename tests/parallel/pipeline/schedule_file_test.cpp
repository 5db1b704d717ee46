#include "parallel/pipeline/schedule_file.hpp"

#include <gtest/gtest.h>

#include "parallel/pipeline/draw.hpp"
#include "parallel/pipeline/schedules.hpp"
#include "tests/parallel/pipeline/lists.hpp"

namespace lockstep {
namespace {

using test::error_of;

std::string printed(const Schedule& schedule) {
  std::string text = "# " + schedule.name + "\n";
  for (const std::vector<Action>& list : schedule.actions) {
    for (const Action& a : list) text += to_string(a, schedule.virtual_stages > 1) + " ";
    text += "\n";
  }
  return text;
}

TEST(ScheduleFile, ReadsBackEverySchedule) {
  for (const std::string& name : schedule_names()) {
    const Schedule made = make_schedule(name, 3, 6);

    const Schedule read = parse_schedule(printed(made), "file");

    EXPECT_EQ(read.actions, made.actions) << name;
    EXPECT_EQ(read.virtual_stages, made.virtual_stages) << name;
    EXPECT_EQ(read.splits_backward, made.splits_backward) << name;
    EXPECT_EQ(read.placement, made.placement) << name;
  }
}

TEST(ScheduleFile, RefusalsNameTheActionAndWhatItWaitsFor) {
  const auto refusal = [](const std::string& text) {
    return error_of([&] { parse_schedule(text, "mine.txt"); });
  };

  EXPECT_NE(refusal("F0 B0\nB0 F0\n").find("rank 1 waits with B0 for F0 of its own"),
            std::string::npos);
  EXPECT_NE(refusal("F0 B0\nF0\n").find("B0 is missing on rank 1"), std::string::npos);
  EXPECT_NE(refusal("F0 B0\nF0 X0\n").find("mine.txt line 2: 'X0'"), std::string::npos);
  EXPECT_NE(refusal("# nothing\n\n").find("holds no actions"), std::string::npos);
  EXPECT_NE(refusal("0F0 0B0\n2F0 2B0\n").find("3 virtual stages"), std::string::npos);
  EXPECT_NE(refusal("F999999999\nB999999999\n").find("stay below"), std::string::npos);
}

TEST(Draw, ShowsABarForEachAction) {
  const Schedule schedule = make_schedule("zb-v", 2, 4);

  const std::string svg = draw_svg(bars_of(schedule), "zb-v & more");

  std::size_t bars = 0;
  for (std::size_t at = svg.find("<title>"); at != std::string::npos;
       at = svg.find("<title>", at + 1))
    ++bars;
  EXPECT_EQ(bars, 2u * 2 * 3 * 4);
  EXPECT_NE(svg.find("zb-v &amp; more"), std::string::npos);
}

}  // namespace
}  // namespace lockstep
