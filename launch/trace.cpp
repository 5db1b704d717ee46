#include "launch/trace.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <limits>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "parallel/pipeline/draw.hpp"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

constexpr int rounds = 8;  // of the clock's measurement: the quickest counts

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double microseconds(double seconds) { return seconds * 1e6; }

// What to add to this rank's clock to get rank 0's: a question travels there and back, and rank 0's
// answer is its clock half-way (Cristian 1989). Rank after rank; collective.
double clock_offset(Group& world) {
  double offset = 0;
  for (int rank = 1; rank < world.size(); ++rank) {
    double quickest = std::numeric_limits<double>::infinity();
    for (int round = 0; round < rounds; ++round) {
      Tensor clock = Tensor::from<double>({now()}, {1});
      if (world.rank() == rank) {
        const double asked = now();
        world.send(clock, 0, 0, "clock");
        world.receive(clock, 0, 1, "clock");
        const double back = now();
        if (back - asked < quickest) {
          quickest = back - asked;
          offset = clock.data<double>()[0] - (asked + back) / 2;
        }
      } else if (world.rank() == 0) {
        world.receive(clock, rank, 0, "clock");
        clock.data<double>()[0] = now();
        world.send(clock, rank, 1, "clock");
      }
    }
  }
  return offset;
}

std::string rank_file(const std::string& run_directory, int rank) {
  char name[32];
  std::snprintf(name, sizeof name, "/trace/rank-%05d.json", rank);
  return run_directory + name;
}

const char* name_of(Action::Kind kind) {
  return kind == Action::Kind::forward ? "F" : kind == Action::Kind::backward ? "B" : "W";
}

std::vector<Json> read_rank(const std::string& path) {
  std::ifstream stream(path);
  require(stream.good(), path, ": cannot be read: was the run started with --trace?");
  const Json parsed = Json::parse(stream, nullptr, false);
  require(parsed.is_array(), path, ": is no whole trace: was the run killed while it wrote?");
  return {parsed.begin(), parsed.end()};
}

// Every rank's events on rank 0's clock.
std::vector<Json> read_all(const std::string& run_directory) {
  std::vector<Json> all;
  for (int rank = 0; rank == 0 || std::filesystem::exists(rank_file(run_directory, rank)); ++rank) {
    const std::string path = rank_file(run_directory, rank);
    double offset = 0;
    for (Json& event : read_rank(path)) {
      try {
        if (event.at("ph") == "M" && event.at("name") == "clock") {
          offset = event.at("args").at("offset_us").get<double>();
          continue;
        }
        if (event.contains("ts")) event["ts"] = event["ts"].get<double>() + offset;
      } catch (const Json::exception&) {
        throw Error(build_string(path, ": holds an event that is none of ours"));
      }
      all.push_back(std::move(event));
    }
  }
  return all;
}

}  // namespace

TraceWriter::TraceWriter(const std::string& run_directory,
                         const Environment& environment,
                         std::string name)
    : rank_(environment.rank()), path_(rank_file(run_directory, environment.rank())) {
  environment.agree([&] {
    if (rank_ != 0) return;
    std::error_code error;  // files of an earlier run may be of more ranks
    std::filesystem::remove_all(run_directory + "/trace", error);
    std::filesystem::create_directories(run_directory + "/trace", error);
  });
  environment.agree([&] {
    file_.open(path_, std::ios::trunc);
    if (!file_) fail("cannot write ", path_);
  });
  line(Json{{"ph", "M"}, {"pid", rank_}, {"name", "process_name"}, {"args", {{"name", name}}}}
           .dump());
  line(Json{{"ph", "M"},
            {"pid", rank_},
            {"tid", 0},
            {"name", "thread_name"},
            {"args", {{"name", "pipeline"}}}}
           .dump());
  const double offset = clock_offset(environment.world());
  line(Json{{"ph", "M"},
            {"pid", rank_},
            {"name", "clock"},
            {"args", {{"offset_us", microseconds(offset)}}}}
           .dump());
}

TraceWriter::~TraceWriter() { file_ << (empty_ ? "[]\n" : "\n]\n"); }

void TraceWriter::line(const std::string& json) {
  file_ << (empty_ ? "[\n" : ",\n") << json;
  empty_ = false;
}

void TraceWriter::step(std::int64_t step,
                       const std::vector<TimedAction>& actions,
                       const std::vector<CommunicationEvent>& communications) {
  const auto event = [&](const std::string& name, const char* category, int lane, double begin,
                         double end, Json arguments) {
    arguments["step"] = step;
    line(Json{{"ph", "X"},
              {"pid", rank_},
              {"tid", lane},
              {"name", name},
              {"cat", category},
              {"ts", microseconds(begin)},
              {"dur", microseconds(end - begin)},
              {"args", std::move(arguments)}}
             .dump());
  };
  for (const TimedAction& timed : actions) {
    const Action& a = timed.action;
    event(to_string(a, true), "pipeline", 0, timed.begin, timed.end,
          {{"kind", name_of(a.kind)},
           {"stage", a.stage},
           {"microbatch", a.microbatch},
           {"waited_us", microseconds(timed.begin - timed.asked)}});
  }
  std::vector<CommunicationEvent> sorted = communications;
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.begin < b.begin; });
  for (const CommunicationEvent& c : sorted) {
    auto lane = std::find_if(lane_ends_.begin(), lane_ends_.end(),
                             [&](double end) { return end <= c.begin; });
    if (lane == lane_ends_.end()) lane = lane_ends_.insert(lane_ends_.end(), 0.0);
    *lane = c.end;
    event(build_string(c.axis, ' ', c.what, ' ', c.operation), "communication",
          1 + static_cast<int>(lane - lane_ends_.begin()), c.begin, c.end,
          {{"axis", c.axis},
           {"what", c.what},
           {"operation", c.operation},
           {"bytes", c.bytes},
           {"waited_us", microseconds(c.end - c.waited)}});
  }
}

std::string merge_traces(const std::string& run_directory) {
  const std::vector<Json> all = read_all(run_directory);
  const std::string path = run_directory + "/trace/merged.json";
  std::ofstream file(path, std::ios::trunc);
  for (std::size_t i = 0; i < all.size(); ++i) file << (i == 0 ? "[\n" : ",\n") << all[i].dump();
  file << "\n]\n";
  file.close();
  if (!file) fail("cannot write ", path);
  return path;
}

std::string draw_trace(const std::string& run_directory, std::int64_t step) {
  std::vector<std::pair<std::int64_t, Bar>> found;
  std::int64_t last = 0;
  for (const Json& event : read_all(run_directory)) {
    if (event.value("cat", "") != "pipeline") continue;
    Bar bar;
    bar.rank = event.at("pid").get<int>();
    bar.action = parse_action(event.at("name").get<std::string>(), 0);
    bar.begin = event.at("ts").get<double>();
    bar.end = bar.begin + event.at("dur").get<double>();
    const auto of_step = event.at("args").at("step").get<std::int64_t>();
    last = std::max(last, of_step);
    found.emplace_back(of_step, bar);
  }
  const std::int64_t wanted = step == 0 ? last : step;
  std::vector<Bar> bars;
  for (const auto& [of_step, bar] : found) {
    if (of_step == wanted) bars.push_back(bar);
  }
  require(!bars.empty(), run_directory, "/trace holds no step ", wanted);
  return draw_svg(bars, build_string("step ", wanted, " as it ran"));
}

}  // namespace lockstep
