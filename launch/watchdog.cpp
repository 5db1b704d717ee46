#include "launch/watchdog.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <future>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "launch/failure.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

// Start-up, saves and first steps may last this many limits as long as every rank lives.
constexpr int patience = 20;
constexpr std::size_t most_named = 8;

double seconds_since(Activity::Clock::time_point begin) {
  return std::chrono::duration<double>(Activity::Clock::now() - begin).count();
}

std::string one_decimal(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", number);
  return text;
}

// "rank 3", "ranks 3, 4".
std::string named(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < std::min(ranks.size(), most_named); ++i)
    text += (i > 0 ? ", " : "") + std::to_string(ranks[i]);
  return ranks.size() <= most_named ? text : text + " and more";
}

std::string story(const Answer& answer) {
  const std::string where = build_string("step ", answer.step, ", ", answer.phase);
  return answer.waiting.empty() ? where + ", at work" : where + ", waits for " + answer.waiting;
}

// Those that answered and wait for nobody; without any, those of the lowest step.
std::vector<int> behind(const std::map<int, Answer>& answers) {
  std::vector<int> busy, lowest;
  std::int64_t step = 0;
  for (const auto& [rank, answer] : answers) {
    if (answer.waiting.empty()) busy.push_back(rank);
    if (lowest.empty() || answer.step < step) {
      lowest.clear();
      step = answer.step;
    }
    if (answer.step == step) lowest.push_back(rank);
  }
  return busy.empty() ? lowest : busy;
}

}  // namespace

std::string print_answer(const Activity::Snapshot& snapshot) {
  return build_string(snapshot.step, ' ', snapshot.patient ? 1 : 0, ' ', snapshot.idle_seconds,
                      '\n', snapshot.phase, '\n', snapshot.waiting, '\n');
}

Answer parse_answer(const std::string& text) {
  std::istringstream in(text);
  Answer answer;
  int patient = 0;
  in >> answer.step >> patient >> answer.idle_seconds;
  in.ignore(1);
  std::getline(in, answer.phase);
  std::getline(in, answer.waiting);
  require(!in.fail() && !in.eof(), "an answer of ", text.size(), " bytes is cut short");
  answer.patient = patient != 0;
  return answer;
}

Verdict judge(const std::map<int, Answer>& answers, int ranks, double seconds) {
  Verdict verdict;
  for (int rank = 0; rank < ranks; ++rank) {
    if (answers.count(rank) == 0) verdict.late.push_back(rank);
  }
  const bool silent = !verdict.late.empty();
  if (!silent) {
    verdict.late = behind(answers);
    verdict.stuck = std::none_of(answers.begin(), answers.end(), [](const auto& entry) {
      return entry.second.patient && entry.second.waiting.empty();
    });
  } else {
    verdict.stuck = true;
  }
  verdict.message =
      build_string("no progress for ", one_decimal(seconds), " s: ", named(verdict.late),
                   verdict.late.size() == 1 ? " is" : " are", " late: ");
  verdict.message +=
      silent ? "no answer, so frozen, dead or cut off" : story(answers.at(verdict.late.front()));
  std::size_t shown = 0;
  for (const auto& [rank, answer] : answers) {
    if (!silent && rank == verdict.late.front()) continue;
    if (++shown > most_named) break;
    verdict.message += build_string("; rank ", rank, ": ", story(answer));
  }
  verdict.message += "; start again: the run goes on from its last checkpoint";
  return verdict;
}

Watchdog::Watchdog(const Activity& activity, WatchdogConfig config)
    : activity_(activity),
      config_(std::move(config)),
      interval_(std::clamp(config_.seconds / 10, 0.2, 2.0)),
      grace_(2 * interval_ + 2),
      patience_left_(patience) {
  if (config_.seconds > 0) thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  over_changed_.notify_all();
  thread_.join();
}

bool Watchdog::wait_for(double seconds) {
  std::unique_lock lock(mutex_);
  over_changed_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return over_; });
  return !over_;
}

std::string Watchdog::file_of(int rank) const {
  return build_string(config_.place, "/rank-", rank);
}

void Watchdog::watch() {
  double asked_at = 0;  // idle seconds at the last question that found somebody at work
  while (wait_for(interval_)) {
    if (access(config_.place.c_str(), F_OK) == 0) answer();
    const double idle = activity_.snapshot().idle_seconds;
    if (idle < asked_at) {
      asked_at = 0;
      patience_left_ = patience;
    }
    if (idle < asked_at + config_.seconds) continue;
    ask();
    asked_at = activity_.snapshot().idle_seconds;
  }
}

// Whole or absent: a reader must not take half an answer for a rank that does not live.
void Watchdog::answer() const {
  const std::string path = file_of(config_.rank), temporary = path + ".new";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return;  // the question is over
  const std::string text = print_answer(activity_.snapshot());
  const bool whole = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(file);
  if (whole) (void)std::rename(temporary.c_str(), path.c_str());
}

// Until all have answered, or as long as one that lives may take.
std::optional<std::map<int, Answer>> Watchdog::collect() {
  std::map<int, Answer> answers;
  const auto begin = Activity::Clock::now();
  do {
    if (access(config_.place.c_str(), F_OK) != 0) return std::nullopt;
    answer();
    for (int rank = 0; rank < config_.ranks; ++rank) {
      if (answers.count(rank) > 0) continue;
      try {
        answers[rank] = parse_answer(read_file(file_of(rank)));
      } catch (const Error&) {
        continue;  // not yet
      }
    }
  } while (static_cast<int>(answers.size()) < config_.ranks && seconds_since(begin) < grace_ &&
           wait_for(0.1));
  return answers;
}

void Watchdog::question() {
  ::mkdir(config_.place.c_str(), 0777);  // another rank may have asked first
  const double idle = activity_.snapshot().idle_seconds;
  const auto answers = collect();
  const bool went_on = activity_.snapshot().idle_seconds < idle;
  if (answers && !went_on) {
    const Verdict verdict = judge(*answers, config_.ranks, config_.seconds);
    if (verdict.stuck || --patience_left_ < 0) end(verdict.message);
  }
  std::error_code ignored;
  fs::remove_all(config_.place, ignored);
}

// A question to a directory that does not answer (a lost file server) must not hang either.
void Watchdog::ask() {
  const auto limit = std::chrono::duration<double>(grace_ + 5);
  std::future<void> asked = std::async(std::launch::async, [this] { question(); });
  if (asked.wait_for(limit) == std::future_status::ready) return;
  print_error(
      build_string("no progress for ", one_decimal(config_.seconds), " s: rank ", config_.rank,
                   " finds ", config_.place, " not answering; its file system is lost"),
      config_.prefix);
  ::_exit(static_cast<int>(ExitCode::stuck));
}

// The first to get the file speaks; the others give it time, because the launcher ends all ranks
// when the first one exits.
void Watchdog::end(const std::string& message) const {
  const int file =
      ::open((config_.place + "/speaker").c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file >= 0 || errno != EEXIST) {
    print_error(message, config_.prefix);
  }
  ::usleep(1'500'000);
  ::_exit(static_cast<int>(ExitCode::stuck));
}

}  // namespace lockstep
