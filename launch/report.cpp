#include "launch/report.hpp"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/durable_file.hpp"
#include "core/error.hpp"

namespace lockstep {
namespace {

// One JSON object, members in the order they are added.
class Object {
 public:
  explicit Object(const char* event) { add("event", std::string(event)); }

  void add(const std::string& name, const std::string& text) { member(name, quoted(text)); }
  void add(const std::string& name, std::int64_t number) { member(name, std::to_string(number)); }
  void add(const std::string& name, std::uint64_t number) { member(name, std::to_string(number)); }
  void add(const std::string& name, double number) {
    char buffer[64];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
    member(name, std::isfinite(number) ? std::string(buffer, end) : "null");
  }
  void add(const Figures& figures) {
    for (const auto& [name, number] : figures) add(name, number);
  }
  void member(const std::string& name, const std::string& value) {
    text_ += (text_.empty() ? "{" : ",") + quoted(name) + ":" + value;
  }
  std::string text() const { return text_ + "}"; }

 private:
  // Paths may hold any bytes: those that are no UTF-8 become U+FFFD.
  static std::string quoted(const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  std::string text_;
};

std::string printed(const char* format, double number) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, number);
  return buffer;
}

std::string to_json(const MemoryParts& parts) {
  const auto whole = [](double bytes) { return static_cast<std::int64_t>(bytes); };
  return build_string(
      "{\"parameters\":", whole(parts.parameters), ",\"gradients\":", whole(parts.gradients),
      ",\"optimizer\":", whole(parts.optimizer), ",\"snapshot\":", whole(parts.snapshot),
      ",\"activations\":", whole(parts.activations), ",\"workspace\":", whole(parts.workspace),
      ",\"total\":", whole(parts.total()), "}");
}

// `text` at the right of a column.
std::string column(const std::string& text, std::size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : " " + text;
}

bool last_byte_is_no_newline(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char byte = '\n';
  const bool read = ::lseek(file, -1, SEEK_END) >= 0 && ::read(file, &byte, 1) == 1;
  ::close(file);
  return read && byte != '\n';
}

}  // namespace

std::string to_json(const StartEvent& event) {
  Object object("start");
  object.add("step", event.step);
  object.add("ranks", static_cast<std::int64_t>(event.layout.ranks()));
  object.member("layout",
                build_string("{\"dp\":", event.layout.dp, ",\"pp\":", event.layout.pp,
                             ",\"cp\":", event.layout.cp, ",\"tp\":", event.layout.tp, "}"));
  object.add("parameters", event.parameters);
  object.add("peak_gflops", event.peak_gflops);
  object.add("model", event.model);
  object.add("precision", event.precision);
  object.add("steps", event.steps);
  object.member("memory", to_json(event.memory));
  return object.text();
}

std::string to_json(const StepEvent& event) {
  Object object("step");
  object.add("step", event.step);
  object.add("loss", event.loss);
  object.add(event.parts);
  object.add("gradient_norm", event.gradient_norm);
  object.add("learning_rate", event.learning_rate);
  object.add("tokens", event.tokens);
  object.add("seconds", event.seconds);
  object.add("tokens_per_second", event.tokens_per_second);
  if (event.peak_share) object.add("peak_share", *event.peak_share);
  object.add("data_wait_seconds", event.data_wait_seconds);
  return object.text();
}

std::string to_json(const ValidationEvent& event) {
  Object object("validation");
  object.add("step", event.step);
  object.add("loss", event.loss);
  object.add(event.parts);
  object.add("tokens", event.tokens);
  object.add("seconds", event.seconds);
  return object.text();
}

std::string to_json(const CheckpointEvent& event) {
  Object object("checkpoint");
  object.add("step", event.step);
  object.add("bytes", event.bytes);
  object.add("blocked_seconds", event.blocked_seconds);
  object.add("seconds", event.seconds);
  object.add("path", event.path);
  return object.text();
}

std::string to_json(const EndEvent& event) {
  Object object("end");
  object.add("step", event.step);
  object.add("reason", event.reason);
  if (!event.weights_sha256.empty()) object.add("weights_sha256", event.weights_sha256);
  return object.text();
}

std::string to_json(const TrafficEvent& event) {
  Object object("traffic");
  object.add("step", event.step);
  object.add("axis", event.axis);
  object.add("what", event.what);
  object.add("operation", event.operation);
  object.add("messages", event.messages);
  object.add("elements", event.elements);
  object.add("bytes", event.bytes);
  return object.text();
}

std::string to_json(const PipelineEvent& event) {
  Object object("pipeline");
  object.add("step", event.step);
  object.add("bubble_fraction", event.bubble_fraction);
  object.add("simulated_bubble_fraction", event.simulated_bubble_fraction);
  object.add("forward_seconds", event.forward_seconds);
  object.add("backward_seconds", event.backward_seconds);
  object.add("weight_seconds", event.weight_seconds);
  return object.text();
}

std::string to_json(const MemoryEvent& event) {
  Object object("memory");
  object.add("step", event.step);
  object.add("pp", event.pp);
  object.member("predicted", to_json(event.memory.predicted));
  object.member("peak", to_json(event.memory.measured));
  return object.text();
}

std::string to_json(const NonFiniteEvent& event) {
  Object object("nonfinite");
  object.add("step", event.step);
  object.add("place", event.place);
  object.add("action", event.action);
  if (event.action == "rewind") object.add("back_to", event.back_to);
  return object.text();
}

std::string to_json(const StragglerEvent& event) {
  Object object("stragglers");
  object.add("step", event.step);
  object.add("median_seconds", event.median_seconds);
  object.add("max_seconds", event.max_seconds);
  object.add("rank", static_cast<std::int64_t>(event.rank));
  return object.text();
}

std::string duration_text(double seconds) {
  const auto whole =
      static_cast<std::int64_t>(std::llround(std::min(std::max(seconds, 0.0), 1e12)));
  char buffer[64];
  if (whole >= 86400) {
    std::snprintf(buffer, sizeof buffer, "%lld d %02lld h", static_cast<long long>(whole / 86400),
                  static_cast<long long>(whole / 3600 % 24));
  } else if (whole >= 3600) {
    std::snprintf(buffer, sizeof buffer, "%lld h %02lld min", static_cast<long long>(whole / 3600),
                  static_cast<long long>(whole / 60 % 60));
  } else if (whole >= 60) {
    std::snprintf(buffer, sizeof buffer, "%lld min %02lld s", static_cast<long long>(whole / 60),
                  static_cast<long long>(whole % 60));
  } else {
    std::snprintf(buffer, sizeof buffer, "%lld s", static_cast<long long>(whole));
  }
  return buffer;
}

std::string step_header() {
  return column("step", 9) + column("loss", 10) + column("grad norm", 11) +
         column("learn rate", 12) + column("tokens/s", 11) + column("% of peak", 11) +
         column("left", 13);
}

std::string step_line(const StepEvent& event, std::optional<double> seconds_left) {
  return column(std::to_string(event.step), 9) + column(printed("%.4f", event.loss), 10) +
         column(printed("%.4g", event.gradient_norm), 11) +
         column(printed("%.3e", event.learning_rate), 12) +
         column(printed("%.0f", event.tokens_per_second), 11) +
         column(event.peak_share ? printed("%.1f", 100 * *event.peak_share) : "-", 11) +
         column(seconds_left ? duration_text(*seconds_left) : "-", 13);
}

Report::Report(const std::string& directory)
    : directory_(directory), began_(std::chrono::steady_clock::now()) {
  const std::string path = directory + "/metrics.jsonl";
  const bool torn = last_byte_is_no_newline(path);
  metrics_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (metrics_ < 0) fail(path, ": cannot be opened: ", std::strerror(errno));
  // A killed run may have left a line half written: the next one must not be glued to it.
  if (torn) append("");
}

Report::~Report() {
  if (metrics_ >= 0) ::close(metrics_);
}

void Report::append(const std::string& line) {
  const std::string text = line + "\n";
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(metrics_, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(directory_, "/metrics.jsonl: cannot be written: ", std::strerror(errno));
    written += static_cast<std::size_t>(count);
  }
}

std::optional<double> Report::seconds_left(std::int64_t step) const {
  const std::int64_t made = step - first_step_;
  if (made < 1 || steps_ < step) return std::nullopt;
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began_;
  return passed.count() / static_cast<double>(made) * static_cast<double>(steps_ - step);
}

void Report::start(const StartEvent& event) {
  append(to_json(event));
  first_step_ = event.step;
  steps_ = event.steps;
  began_ = std::chrono::steady_clock::now();
  const Degrees& layout = event.layout;
  std::cout << event.model << ", " << event.parameters << " parameters, " << event.precision << ", "
            << layout.ranks() << (layout.ranks() == 1 ? " rank" : " ranks") << " (dp " << layout.dp
            << ", pp " << layout.pp << ", cp " << layout.cp << ", tp " << layout.tp << ")";
  if (event.step > 0) std::cout << ", going on from step " << event.step;
  std::cout << "\npredicted memory of the fullest rank " << memory_text(event.memory) << "\n"
            << step_header() << std::endl;
  beat();
}

void Report::step(const StepEvent& event, bool shown) {
  append(to_json(event));
  if (shown) std::cout << step_line(event, seconds_left(event.step)) << std::endl;
  beat();
}

void Report::validation(const ValidationEvent& event) {
  append(to_json(event));
  std::cout << column(std::to_string(event.step), 9) << column(printed("%.4f", event.loss), 10)
            << "  validation";
  for (const auto& [name, number] : event.parts)
    std::cout << "  " << name << " " << printed("%.4f", number);
  std::cout << ", " << event.tokens << " tokens in " << duration_text(event.seconds) << std::endl;
  beat();
}

void Report::checkpoint(const CheckpointEvent& event) {
  append(to_json(event));
  std::cout << column(std::to_string(event.step), 9) << "  saved " << event.path << ", "
            << printed("%.1f", static_cast<double>(event.bytes) / 1e6) << " MB in "
            << printed("%.2f", event.seconds) << " s" << std::endl;
  beat();
}

void Report::traffic(const TrafficEvent& event) { append(to_json(event)); }
void Report::pipeline(const PipelineEvent& event) { append(to_json(event)); }
void Report::memory(const MemoryEvent& event) { append(to_json(event)); }

void Report::nonfinite(const NonFiniteEvent& event) {
  append(to_json(event));
  beat();
}

void Report::straggler(const StragglerEvent& event) {
  append(to_json(event));
  constexpr double worth_saying = 2;
  const double ratio = event.max_seconds / event.median_seconds;
  if (!(ratio > worth_saying)) return;
  std::cout << column(std::to_string(event.step), 9) << "  rank " << event.rank << " computes "
            << printed("%.1f", ratio) << " times as long as the median rank" << std::endl;
}

void Report::end(const EndEvent& event) {
  append(to_json(event));
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began_;
  const std::string why = event.reason == "finished"       ? "finished"
                          : event.reason == "exit-at-step" ? "stopped as --exit-at-step asked"
                          : event.reason == "time-limit"
                              ? "saved because the time limit is near; start again to go on"
                              : "saved because a signal asked; start again to go on";
  std::cout << why << " at step " << event.step << " after " << duration_text(passed.count())
            << std::endl;
}

void Report::beat() const {
  const std::string path = directory_ + "/heartbeat";
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) return;  // training goes on without a heartbeat: only the batch script reads it
  ::futimens(file, nullptr);
  ::close(file);
}

void Report::done(const EndEvent& event) const {
  std::string text = build_string("{\"step\":", event.step);
  if (!event.weights_sha256.empty())
    text += build_string(",\"weights_sha256\":\"", event.weights_sha256, "\"");
  write_file_durably(directory_ + "/DONE", text + "}\n");
}

}  // namespace lockstep
