#include "parallel/pipeline/action.hpp"

#include <charconv>

#include "core/error.hpp"

namespace lockstep {
namespace {

constexpr char letters[] = "FBW";

// Reads digits at `from` up to their end; false when there are none or they do not fit an int.
bool read_number(const char*& from, const char* end, int& value) {
  if (from == end || *from < '0' || *from > '9') return false;  // from_chars would take a sign
  const auto [rest, error] = std::from_chars(from, end, value);
  from = rest;
  return error == std::errc();
}

}  // namespace

std::string to_string(const Action& action, bool with_stage) {
  const char letter = letters[static_cast<int>(action.kind)];
  return (with_stage ? std::to_string(action.stage) : "") + letter +
         std::to_string(action.microbatch);
}

Action parse_action(const std::string& text, int default_stage) {
  Action action{.kind = Action::Kind::forward, .stage = default_stage, .microbatch = 0};
  const char* at = text.data();
  const char* const end = at + text.size();
  const bool has_stage = at != end && *at >= '0' && *at <= '9';
  bool ok = !has_stage || read_number(at, end, action.stage);
  const std::size_t kind = ok && at != end ? std::string(letters).find(*at) : std::string::npos;
  ok = kind != std::string::npos && read_number(++at, end, action.microbatch) && at == end;
  require(ok, "'", text.substr(0, 40),
          "' is no action of a schedule: write F, B or W and the microbatch, ",
          "with the virtual stage before them where a rank holds several: F0, 5B3");
  action.kind = static_cast<Action::Kind>(kind);
  return action;
}

int Schedule::rank_of(int stage) const {
  if (placement == Placement::v && stage >= stages) return 2 * stages - 1 - stage;
  return stage % stages;
}

}  // namespace lockstep
