#include "launch/trace.hpp"

#include <filesystem>
#include <fstream>
#include <optional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "parallel/checkpoint/gather_text.hpp"
#include "tests/support/error_of.hpp"
#include "tests/support/mpi.hpp"
#include "tests/support/temporary_directory.hpp"

namespace lockstep {
namespace {

using test::environment;
using test::error_of;

// One directory for all ranks, removed by rank 0 after everybody has left it.
class Trace : public ::testing::Test {
 protected:
  Trace() {
    if (environment().rank() == 0) own_.emplace();
    path_ = checkpoint::all_gather_text(environment().world(), own_ ? own_->path() : "")[0];
  }
  ~Trace() override { environment().world().barrier(); }

  std::optional<test::TemporaryDirectory> own_;
  std::string path_;
};

// Two steps of a forward and a backward pass and one sum, one second apart.
void write(const std::string& path) {
  TraceWriter writer(path, environment(), "rank " + std::to_string(environment().rank()),
                     [](const Action&) { return 3e9; });
  for (int step = 1; step <= 2; ++step) {
    const double begin = 100 + step;
    writer.step(
        step,
        {{{Action::Kind::forward, environment().rank(), 0}, begin, begin + 0.1, begin + 0.2},
         {{Action::Kind::backward, environment().rank(), 0},
          begin + 0.2,
          begin + 0.3,
          begin + 0.5}},
        {{"all_reduce", "tp", "layer", 64, begin + 0.11, begin + 0.12, begin + 0.15}},
        {{"gemm", begin + 0.3, begin + 0.4, 2e9}, {"add", begin + 0.4, begin + 0.41, 0}});
  }
}

TEST_F(Trace, EveryRanksEventsAreInTheMergedFile) {
  write(path_);
  environment().world().barrier();
  if (environment().rank() != 0) return;

  std::ifstream stream(merge_traces(path_));
  const auto events = nlohmann::json::parse(stream);

  int pipeline = 0, communication = 0, ops = 0;
  for (const auto& event : events) {
    if (event.value("cat", "") == "pipeline") {
      ++pipeline;
      // 0.1 s forward, 0.2 s backward.
      EXPECT_NEAR(event["args"]["gflop_per_second"].get<double>(),
                  event["args"]["kind"] == "F" ? 30 : 15, 1e-3);
    }
    if (event.value("cat", "") == "op") {
      ++ops;
      const bool product = event["name"] == "gemm";
      EXPECT_EQ(event["args"].contains("gflop_per_second"), product);
      if (product) {
        EXPECT_NEAR(event["args"]["gflop_per_second"].get<double>(), 20, 1e-3);
      }
    }
    if (event.value("cat", "") != "communication") continue;
    ++communication;
    EXPECT_EQ(event["args"]["axis"], "tp");
    EXPECT_EQ(event["args"]["what"], "layer");
    EXPECT_EQ(event["args"]["bytes"], 64);
    EXPECT_NEAR(event["dur"].get<double>(), 40000, 1);
    // Ranks of one machine share a clock: what is left of the difference is the measurement's.
    const double begin = 100.11e6 + 1e6 * event["args"]["step"].get<double>();
    EXPECT_NEAR(event["ts"].get<double>(), begin, 1e5);
  }
  EXPECT_EQ(pipeline, 4 * environment().size());
  EXPECT_EQ(communication, 2 * environment().size());
  EXPECT_EQ(ops, 4 * environment().size());
}

TEST_F(Trace, AStepIsDrawn) {
  write(path_);
  environment().world().barrier();
  if (environment().rank() != 0) return;

  const std::string picture = draw_trace(path_, 0);
  // 400 ms, and what the measured clocks are apart.
  EXPECT_NE(picture.find("step 2 as it ran, 4"), std::string::npos) << picture;
  EXPECT_NE(picture.find("d=\"M"), std::string::npos) << "no wait inside an action";
  EXPECT_NE(error_of([&] { draw_trace(path_, 3); }).message.find("no step 3"), std::string::npos);
}

TEST_F(Trace, ARunWithoutATraceIsRefused) {
  EXPECT_NE(error_of([&] { merge_traces(path_ + "/nothing"); }).message.find("--trace"),
            std::string::npos);
}

TEST(CommunicationLog, NotesWhatGroupsDo) {
  CommunicationLog log;
  TracedGroup group(std::make_unique<LocalGroup>(), "tp", log);

  group.all_reduce(Tensor::zeros({8}, DType::f32), Reduce::sum, "layer");

  const std::vector<CommunicationEvent> events = log.take();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].axis, "tp");
  EXPECT_STREQ(events[0].operation, "all_reduce");
  EXPECT_EQ(events[0].bytes, 32);
  EXPECT_LE(events[0].begin, events[0].waited);
  EXPECT_LE(events[0].waited, events[0].end);
  EXPECT_TRUE(log.take().empty());
}

}  // namespace
}  // namespace lockstep
