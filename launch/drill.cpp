#include "launch/drill.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <sstream>
#include <thread>
#include <unistd.h>

#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "core/say.hpp"
#include "launch/option_values.hpp"

namespace lockstep {
namespace {

struct KindRow {
  const char* name;
  Drill::Kind kind;
  std::size_t least, most;  // fields behind the name
};
constexpr KindRow kinds[] = {{"kill", Drill::Kind::kill, 2, 2},
                             {"freeze", Drill::Kind::freeze, 2, 2},
                             {"slow", Drill::Kind::slow, 3, 3},
                             {"nonfinite", Drill::Kind::nonfinite, 1, 2},
                             {"bitflip", Drill::Kind::bitflip, 2, 2}};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> fields;
  std::size_t begin = 0;
  for (std::size_t colon; (colon = text.find(':', begin)) != std::string::npos; begin = colon + 1)
    fields.push_back(text.substr(begin, colon - begin));
  fields.push_back(text.substr(begin));
  return fields;
}

std::string record_of(const std::string& directory) { return directory + "/drills"; }

// Lines of DIR/drills; none when it is not there.
std::string recorded(const std::string& directory) {
  if (::access(record_of(directory).c_str(), F_OK) != 0) return "";
  return read_file(record_of(directory));
}

// On disk before the fault happens: a killed rank must not be killed again by the next start.
void record(const std::string& directory, const std::string& spec) {
  const std::string path = record_of(directory), line = spec + "\n";
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  const bool written =
      file >= 0 && ::write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
      ::fsync(file) == 0;
  const int error = errno;
  if (file >= 0) ::close(file);
  if (!written) fail("cannot write ", path, ": ", std::strerror(error));
}

// The first weight, on the CPU; wherever the store is.
Tensor first_weight(const ParameterStore& store) {
  return store.values().range(0, 1).to(Device{}).clone();
}

void set_first_weight(ParameterStore& store, const Tensor& weight) {
  store.values().range(0, 1).copy_from(weight);
  store.round_values();
}

Tensor not_a_number(DType dtype) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  return dtype == DType::f64 ? Tensor::from<double>({nan}, {1})
                             : Tensor::from<float>({static_cast<float>(nan)}, {1});
}

// The highest bit of the mantissa's third byte: a change of about one in a hundred, as a bad memory
// cell may make it.
void flip_bit(ParameterStore& store) {
  Tensor weight = first_weight(store);
  static_cast<unsigned char*>(weight.raw())[size_of(weight.dtype()) - 2] ^= 1;
  set_first_weight(store, weight);
}

}  // namespace

Drill parse_drill(const std::string& spec, const std::string& typed) {
  const std::vector<std::string> fields = split(spec);
  const auto row = std::find_if(std::begin(kinds), std::end(kinds),
                                [&](const KindRow& kind) { return fields[0] == kind.name; });
  const char* lawful =
      "; it must be kill:STEP:RANK, freeze:STEP:RANK, slow:STEP:RANK:SECONDS, "
      "nonfinite:STEP[:RANK] or bitflip:STEP:RANK";
  const std::size_t behind = fields.size() - 1;
  require(row != std::end(kinds) && behind >= row->least && behind <= row->most, typed, " is ",
          spec, lawful);
  Drill drill;
  drill.kind = row->kind;
  drill.spec = spec;
  const auto step = parse_integer(fields[1]);
  const auto rank = parse_integer(behind > 1 ? fields[2] : "0");
  const auto seconds = parse_real(behind > 2 ? fields[3] : "0");
  require(step && *step >= 1 && rank && *rank >= 0 && *rank < 1'000'000 && seconds &&
              *seconds >= 0 && *seconds < 1e6,
          typed, " is ", spec, lawful);
  drill.step = *step;
  drill.rank = static_cast<int>(*rank);
  drill.seconds = *seconds;
  return drill;
}

Drills::Drills(const Environment& environment, std::vector<Drill> drills, std::string directory)
    : rank_(environment.rank()), directory_(std::move(directory)) {
  if (drills.empty()) return;
  std::string begun;
  environment.agree([&] {
    for (const Drill& drill : drills) {
      require(drill.rank < environment.size(), "--drill ", drill.spec, ": there is no rank ",
              drill.rank, " of ", environment.size());
    }
    if (rank_ == 0) begun = recorded(directory_);
  });
  broadcast_text(environment.world(), begun, 0);
  begun = "\n" + begun;
  for (Drill& drill : drills) {
    if (drill.rank == rank_ && begun.find("\n" + drill.spec + "\n") == std::string::npos)
      drills_.push_back(std::move(drill));
  }
}

void Drills::before_passes(std::int64_t step, ParameterStore& store) {
  const auto due = std::find_if(drills_.begin(), drills_.end(),
                                [step](const Drill& drill) { return drill.step == step; });
  if (due == drills_.end()) return;
  const Drill drill = *due;
  drills_.erase(due);
  record(directory_, drill.spec);
  say(build_string("lockstep: drill: ", drill.spec, " on rank ", rank_));
  begin(drill, store);
  before_passes(step, store);
}

void Drills::begin(const Drill& drill, ParameterStore& store) {
  switch (drill.kind) {
    case Drill::Kind::kill:
      ::raise(SIGKILL);
      return;
    case Drill::Kind::freeze:
      ::raise(SIGSTOP);
      return;
    case Drill::Kind::slow:
      std::this_thread::sleep_for(std::chrono::duration<double>(drill.seconds));
      return;
    case Drill::Kind::nonfinite:
      replaced_ = first_weight(store);
      set_first_weight(store, not_a_number(store.values().dtype()));
      return;
    case Drill::Kind::bitflip:
      flip_bit(store);
      return;
  }
}

void Drills::after_step(ParameterStore& store) {
  if (!replaced_.defined()) return;
  set_first_weight(store, replaced_);
  replaced_ = {};
}

}  // namespace lockstep
