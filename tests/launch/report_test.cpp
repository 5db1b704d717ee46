#include "launch/report.hpp"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <unistd.h>

#include <gtest/gtest.h>

#include "core/error.hpp"

namespace lockstep {
namespace {

class ReportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / build_string("report_test-", getpid());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string read(const std::string& name) const {
    std::ifstream stream(directory_ / name);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  std::filesystem::path directory_;
};

StepEvent some_step() {
  StepEvent event;
  event.step = 12;
  event.loss = 0.1;
  event.gradient_norm = 2.5;
  event.learning_rate = 1e-3;
  event.tokens = 8192;
  event.seconds = 0.5;
  event.tokens_per_second = 1365.3333333333333;
  event.peak_share = 0.25;
  return event;
}

TEST(Metrics, AStepIsOneObjectWithTheShortestFloats) {
  EXPECT_EQ(
      to_json(some_step()),
      "{\"event\":\"step\",\"step\":12,\"loss\":0.1,\"gradient_norm\":2.5,\"learning_rate\":0.001,"
      "\"tokens\":8192,\"seconds\":0.5,\"tokens_per_second\":1365.3333333333333,\"peak_share\":0."
      "25,"
      "\"data_wait_seconds\":0}");
}

TEST(Metrics, MaskedModelsAddTheirParts) {
  StepEvent event = some_step();
  event.parts = {{"mlm_loss", 6.5}, {"nsp_loss", 0.7}};

  EXPECT_NE(to_json(event).find("\"loss\":0.1,\"mlm_loss\":6.5,\"nsp_loss\":0.7,"),
            std::string::npos);
}

TEST(Metrics, NeverHoldNumbersThatJsonLacks) {
  StepEvent event = some_step();
  event.loss = std::numeric_limits<double>::quiet_NaN();
  event.gradient_norm = std::numeric_limits<double>::infinity();

  EXPECT_NE(to_json(event).find("\"loss\":null,\"gradient_norm\":null"), std::string::npos);
}

TEST(Metrics, AStartNamesTheLayout) {
  StartEvent event;
  event.layout = {2, 3, 1, 4};
  event.parameters = 124439808;

  const std::string text = to_json(event);

  EXPECT_NE(
      text.find(
          "\"ranks\":24,\"layout\":{\"dp\":2,\"pp\":3,\"cp\":1,\"tp\":4},\"parameters\":124439808"),
      std::string::npos)
      << text;
}

TEST(Metrics, MemoryIsBytesByPurposeAndTheirSum) {
  MemoryEvent event;
  event.step = 3;
  event.pp = 1;
  event.memory.predicted = {100, 100, 200, 0, 50, 5};
  event.memory.measured.activations = 49;

  EXPECT_EQ(to_json(event),
            "{\"event\":\"memory\",\"step\":3,\"pp\":1,"
            "\"predicted\":{\"parameters\":100,\"gradients\":100,\"optimizer\":200,\"snapshot\":0,"
            "\"activations\":50,\"workspace\":5,\"total\":455},"
            "\"peak\":{\"parameters\":0,\"gradients\":0,\"optimizer\":0,\"snapshot\":0,"
            "\"activations\":49,\"workspace\":0,\"total\":49}}");
}

TEST(Terminal, MemoryIsInUnitsThatFit) {
  EXPECT_EQ(memory_text({1e6, 1e6, 2e6, 0, 5e5, 0}),
            "4.5 MB: parameters 1.0, gradients 1.0, optimizer 2.0, activations 0.5");
  EXPECT_EQ(memory_text({1e9, 1e9, 2e9, 3e9, 0, 0}),
            "7.00 GB: parameters 1.00, gradients 1.00, optimizer 2.00, snapshot 3.00");
}

TEST(Metrics, PathsMayHoldAnyBytes) {
  CheckpointEvent event;
  event.path = "a\"b\\\xff";

  EXPECT_NE(to_json(event).find("\"path\":\"a\\\"b\\\\\xef\xbf\xbd\""), std::string::npos);
}

TEST(Metrics, AnEndHasAHashOnlyWhenAskedFor) {
  EXPECT_EQ(to_json(EndEvent{5, "finished", ""}),
            "{\"event\":\"end\",\"step\":5,\"reason\":\"finished\"}");
  EXPECT_EQ(to_json(EndEvent{5, "signal", "ab"}),
            "{\"event\":\"end\",\"step\":5,\"reason\":\"signal\",\"weights_sha256\":\"ab\"}");
}

TEST(Terminal, StepLinesKeepTheirColumns) {
  StepEvent wide = some_step();
  wide.step = 1234567;
  wide.loss = 11.0312;
  wide.tokens_per_second = 987654;
  wide.peak_share = std::nullopt;

  const std::string header = step_header(), one = step_line(some_step(), 250),
                    two = step_line(wide, std::nullopt);

  EXPECT_EQ(one.size(), header.size());
  EXPECT_EQ(two.size(), header.size());
  EXPECT_EQ(one, "       12    0.1000        2.5   1.000e-03       1365       25.0   4 min 10 s");
}

TEST(Terminal, DurationsReadLikeTime) {
  EXPECT_EQ(duration_text(12.4), "12 s");
  EXPECT_EQ(duration_text(250), "4 min 10 s");
  EXPECT_EQ(duration_text(7380), "2 h 03 min");
  EXPECT_EQ(duration_text(90000), "1 d 01 h");
}

TEST_F(ReportTest, AppendsALinePerEventAndTouchesTheHeartbeat) {
  {
    Report report(directory_.string());
    report.step(some_step());
    report.end({12, "exit-at-step", ""});
  }

  EXPECT_EQ(read("metrics.jsonl"),
            to_json(some_step()) + "\n" + to_json(EndEvent{12, "exit-at-step", ""}) + "\n");
  EXPECT_TRUE(std::filesystem::exists(directory_ / "heartbeat"));
}

TEST_F(ReportTest, DoesNotGlueALineToATornOne) {
  std::ofstream(directory_ / "metrics.jsonl") << "{\"event\":\"st";

  Report(directory_.string()).end({3, "signal", ""});

  EXPECT_EQ(read("metrics.jsonl"), "{\"event\":\"st\n" + to_json(EndEvent{3, "signal", ""}) + "\n");
}

TEST_F(ReportTest, GoesOnAfterAWholeLine) {
  std::ofstream(directory_ / "metrics.jsonl") << "{}\n";

  Report(directory_.string()).end({3, "signal", ""});

  EXPECT_EQ(read("metrics.jsonl"), "{}\n" + to_json(EndEvent{3, "signal", ""}) + "\n");
}

TEST_F(ReportTest, DoneHoldsStepAndHash) {
  Report(directory_.string()).done({200, "finished", "0a1b"});

  EXPECT_EQ(read("DONE"), "{\"step\":200,\"weights_sha256\":\"0a1b\"}\n");
}

TEST_F(ReportTest, NamesTheFileItCannotOpen) {
  try {
    Report report((directory_ / "nowhere").string());
    FAIL() << "opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::failed);
    EXPECT_NE(std::string(error.what()).find("nowhere/metrics.jsonl"), std::string::npos);
  }
}

}  // namespace
}  // namespace lockstep
