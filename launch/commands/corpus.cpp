// `corpus build`, `info`, `verify` and `show`.
#include "data/corpus.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <thread>
#include <unistd.h>

#include "core/error.hpp"
#include "data/corpus_writer.hpp"
#include "launch/commands/commands.hpp"
#include "launch/commands/lowercase.hpp"
#include "launch/report.hpp"

namespace lockstep {
namespace {

constexpr std::pair<const char*, DocumentRule> rules[] = {
    {"auto", DocumentRule::automatic},        {"file", DocumentRule::file},
    {"blank-line", DocumentRule::blank_line}, {"line", DocumentRule::line},
    {"jsonl", DocumentRule::jsonl},           {"wiki", DocumentRule::wiki}};

DocumentRule rule_named(const std::string& name) {
  for (const auto& [known, rule] : rules) {
    if (known == name) return rule;
  }
  return DocumentRule::automatic;
}

const char* name_of(DocumentRule rule) {
  for (const auto& [name, known] : rules) {
    if (known == rule) return name;
  }
  return "";
}

// One line on a terminal, written over itself five times a second at most.
class ProgressLine {
 public:
  void show(const BuildProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (shown_ && now - last_ < std::chrono::milliseconds(200)) return;
    last_ = now;
    shown_ = true;
    const double speed =
        progress.seconds > 0 ? static_cast<double>(progress.bytes) / 1e6 / progress.seconds : 0;
    const double left = progress.fraction > 0 ? progress.seconds * (1 / progress.fraction - 1) : 0;
    std::fprintf(stderr, "\r%5.1f %%  %8.1f MB/s  %llu documents  %s left    ",
                 100 * progress.fraction, speed,
                 static_cast<unsigned long long>(progress.documents), duration_text(left).c_str());
  }
  ~ProgressLine() {
    if (shown_) std::fprintf(stderr, "\r%78s\r", "");
  }

 private:
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_;
};

CorpusBuild read_build(const OptionValues& values) {
  CorpusBuild build;
  build.output = values.text("output");
  build.inputs = values.positional();
  build.tokenizer = values.text("tokenizer");
  build.lowercase = lowercase_named(values.text("lowercase"));
  build.documents = rule_named(values.text("documents"));
  build.json_key = values.text("json-key");
  build.sentences = values.flag("sentences");
  const index_t cores = std::max<index_t>(1, std::thread::hardware_concurrency());
  build.jobs = static_cast<int>(values.integer_if("jobs").value_or(cores));
  build.shard_bytes = static_cast<std::uint64_t>(values.integer("shard-bytes"));
  build.validation_fraction = values.real("validation-fraction");
  build.name = values.text("name");
  build.seed = static_cast<std::uint64_t>(values.integer("seed"));
  const bool json =
      build.documents == DocumentRule::jsonl || build.documents == DocumentRule::automatic;
  require(json || !values.given("json-key"), values.typed("json-key"),
          " has no effect with --documents ", values.text("documents"));
  return build;
}

void print(const std::string& text) {
  std::cout << text;
  if (text.empty() || text.back() != '\n') std::cout << '\n';
}

}  // namespace

int run_corpus_build(const OptionValues& values) {
  const CorpusBuild build = read_build(values);
  BuildSummary summary;
  {
    ProgressLine line;
    std::function<void(const BuildProgress&)> progress;
    if (::isatty(STDERR_FILENO)) progress = [&](const BuildProgress& now) { line.show(now); };
    summary = build_corpus(build, progress);
  }
  const bool guessed = build.documents == DocumentRule::automatic;
  const double per_token =
      summary.tokens ? static_cast<double>(summary.bytes) / static_cast<double>(summary.tokens) : 0;
  char figures[96];
  std::snprintf(figures, sizeof figures, "%.2f bytes per token, %.1f s", per_token,
                summary.seconds);
  std::cout << build.output << ": " << summary.documents << " documents ("
            << name_of(summary.documents_rule) << (guessed ? ", guessed" : "") << "), "
            << summary.sentences << " sentences, " << summary.tokens << " tokens, " << figures
            << "\n";
  return 0;
}

int run_corpus_info(const OptionValues& values) {
  print(describe_corpus(values.positional().front(), values.flag("json")));
  return 0;
}

int run_corpus_verify(const OptionValues& values) {
  const std::string& directory = values.positional().front();
  verify_corpus(directory);
  std::cout << directory << ": whole\n";
  return 0;
}

int run_corpus_show(const OptionValues& values) {
  const auto document = static_cast<std::uint64_t>(values.integer("document"));
  std::cout << show_document(values.positional().front(), document);
  return 0;
}

}  // namespace lockstep
