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

constexpr int ops_lane = 1000;  // communications are on lanes from 1

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

template <typename T>
std::vector<T> of_step(const std::vector<std::pair<std::int64_t, T>>& all, std::int64_t step) {
  std::vector<T> some;
  for (const auto& [number, thing] : all) {
    if (number == step) some.push_back(thing);
  }
  return some;
}

// First begin and last end.
std::pair<double, double> extent(const std::vector<Bar>& bars) {
  std::pair<double, double> extent{bars.front().begin, bars.front().end};
  for (const Bar& bar : bars) {
    extent.first = std::min(extent.first, bar.begin);
    extent.second = std::max(extent.second, bar.end);
  }
  return extent;
}

}  // namespace

TraceWriter::TraceWriter(const std::string& run_directory,
                         const Environment& environment,
                         std::string name,
                         ActionFlops flops)
    : rank_(environment.rank()),
      path_(rank_file(run_directory, environment.rank())),
      flops_(std::move(flops)) {
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
  for (const auto& [lane, title] : {std::pair{0, "pipeline"}, std::pair{ops_lane, "ops"}}) {
    line(Json{{"ph", "M"},
              {"pid", rank_},
              {"tid", lane},
              {"name", "thread_name"},
              {"args", {{"name", title}}}}
             .dump());
  }
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
                       const std::vector<CommunicationEvent>& communications,
                       const std::vector<OpEvent>& ops) {
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
    const double gflop = flops_(a) * 1e-9, seconds = timed.end - timed.begin;
    event(to_string(a, true), "pipeline", 0, timed.begin, timed.end,
          {{"kind", name_of(a.kind)},
           {"stage", a.stage},
           {"microbatch", a.microbatch},
           {"gflop", gflop},
           {"gflop_per_second", seconds > 0 ? gflop / seconds : 0},
           {"waited_us", microseconds(timed.begin - timed.asked)}});
  }
  for (const OpEvent& op : ops) {
    Json arguments = Json::object();
    if (op.flops > 0) arguments["gflop_per_second"] = op.flops * 1e-9 / (op.end - op.begin);
    event(op.op, "op", ops_lane, op.begin, op.end, std::move(arguments));
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
  std::vector<std::pair<std::int64_t, Wait>> waited;
  std::int64_t last = 0;
  for (const Json& event : read_all(run_directory)) {
    const std::string kind = event.value("cat", "");
    if (kind != "pipeline" && kind != "communication") continue;
    const int rank = event.at("pid").get<int>();
    const double begin = event.at("ts").get<double>(), end = begin + event.at("dur").get<double>();
    const Json& arguments = event.at("args");
    const auto number = arguments.at("step").get<std::int64_t>();
    if (kind == "communication") {
      waited.emplace_back(number, Wait{rank, end - arguments.at("waited_us").get<double>(), end});
      continue;
    }
    const Action action = parse_action(event.at("name").get<std::string>(), 0);
    found.emplace_back(number, Bar{rank, action, begin, end});
    last = std::max(last, number);
  }
  const std::int64_t wanted = step == 0 ? last : step;
  const std::vector<Bar> bars = of_step(found, wanted);
  require(!bars.empty(), run_directory, "/trace holds no step ", wanted);
  const auto [first, end] = extent(bars);
  std::vector<Wait> waits = of_step(waited, wanted);
  const auto outside = [first = first, end = end](const Wait& wait) {
    return wait.begin < first || wait.end > end;  // of gradient sums, after the passes
  };
  waits.erase(std::remove_if(waits.begin(), waits.end(), outside), waits.end());
  char milliseconds[32];
  std::snprintf(milliseconds, sizeof milliseconds, "%.1f", (end - first) / 1e3);
  return draw_svg(bars, build_string("step ", wanted, " as it ran, ", milliseconds, " ms"), waits);
}

}  // namespace lockstep
