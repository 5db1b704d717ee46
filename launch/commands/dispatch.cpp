// From the words of the command line to a command.
#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "core/error.hpp"
#include "core/nearest.hpp"
#include "core/ops/cpu_features.hpp"
#include "launch/bench.hpp"
#include "launch/commands/commands.hpp"
#include "launch/evaluate.hpp"
#include "launch/failure.hpp"
#include "launch/generate.hpp"
#include "launch/signals.hpp"
#include "launch/train.hpp"
#include "launch/verify.hpp"
#include "parallel/mpi/deadline.hpp"

namespace lockstep {
namespace {

using Words = std::vector<std::string>;

// Rank as the launcher tells it, for commands that never start MPI. Slurm's counts only inside a
// step: a batch script sets it too.
int launcher_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
    if (const char* text = std::getenv(name)) return std::atoi(text);
  }
  return 0;
}

Words command_names() {
  Words names;
  for (const CommandRow& row : command_table()) names.push_back(row.name);
  return names;
}

// Takes the command's name off the words. "corpus" alone is no command: the error lists what
// follows it.
const CommandRow& take_command(Words& words) {
  require(!words.empty(), "no command; `lockstep help` lists them");
  const std::string first = words[0], both = words.size() > 1 ? first + " " + words[1] : first;
  std::string followers;
  for (const CommandRow& row : command_table()) {
    const std::string name = row.name;
    if (name == first || name == both) {
      words.erase(words.begin(), words.begin() + (name == first ? 1 : 2));
      return row;
    }
    if (name.rfind(first + " ", 0) == 0) {
      followers += (followers.empty() ? "" : ", ") + name.substr(first.size() + 1);
    }
  }
  if (!followers.empty()) {
    throw Error(build_string("`lockstep ", first, "` needs one of ", followers,
                             words.size() > 1 ? build_string(", not ", words[1]) : ""));
  }
  Words known = command_names();
  for (const CommandRow& row : command_table()) {
    const std::string name = row.name;
    known.push_back(name.substr(0, name.find(' ')));
  }
  throw Error(build_string(first, " is not a command; did you mean ", nearest(first, known), "?"));
}

int run_help(const OptionValues& values) {
  Words words = values.positional();
  if (values.flag("markdown")) {
    require(words.empty(), "--markdown prints the whole reference; leave out '",
            words.empty() ? "" : words[0], "'");
    std::cout << markdown_reference();
  } else if (words.empty()) {
    std::cout << overview_text();
  } else {
    const CommandRow& row = take_command(words);
    require(words.empty(), "`lockstep help` takes one command, not also '",
            words.empty() ? "" : words[0], "'");
    std::cout << help_text(row.command);
  }
  return 0;
}

FailureContext context_of(const RunOptions& options) { return {options.layout, options.output}; }
template <typename Options>
FailureContext context_of(const Options& options) {
  return {options.layout, ""};
}

// Every rank reads the same command line, so all agree on what is wrong with it before anything
// else begins.
template <typename Options>
int run_on_ranks(const Words& words,
                 Options (*read)(const Words&),
                 int (*run)(const Environment&, const Options&)) {
  const Environment environment;
  std::optional<Options> options;
  const int code = guard_ranks(environment, {}, [&] {
    environment.agree([&] {
      check_ranks(words, environment.size());
      mpi::check_patience();
      cpu_features_in_use();  // refuses a LOCKSTEP_CPU that this machine lacks
      options.emplace(read(words));
    });
    return 0;
  });
  if (!options || code != 0) return code;
  const FailureContext context = context_of(*options);
  if (environment.rank() == 0 && !context.output.empty()) FailureClaim::clean(context.output);
  return guard_ranks(environment, context, [&] { return run(environment, *options); });
}

int run_mpi_command(Command command, const Words& words) {
  switch (command) {
    case Command::pretrain:
      catch_stop_signals();  // before MPI starts: no moment at which a signal kills a rank
      return run_on_ranks(words, read_run_options, run_pretrain);
    case Command::eval:
      return run_on_ranks(words, read_eval_options, run_eval);
    case Command::generate:
      return run_on_ranks(words, read_generate_options, run_generate);
    case Command::verify:
      return run_on_ranks(words, read_verify_options, run_verify);
    default:
      return run_on_ranks(words, read_bench_options, run_bench);
  }
}

int run_single_command(Command command, const OptionValues& values) {
  switch (command) {
    case Command::corpus_build:
      return run_corpus_build(values);
    case Command::corpus_info:
      return run_corpus_info(values);
    case Command::corpus_verify:
      return run_corpus_verify(values);
    case Command::corpus_show:
      return run_corpus_show(values);
    case Command::tokenizer_train:
      return run_tokenizer_train(values);
    case Command::tokenizer_encode:
      return run_tokenizer_encode(values);
    case Command::tokenizer_decode:
      return run_tokenizer_decode(values);
    case Command::checkpoint_info:
      return run_checkpoint_info(values);
    case Command::checkpoint_verify:
      return run_checkpoint_verify(values);
    case Command::schedule_show:
      return run_schedule_show(values);
    case Command::trace_merge:
      return run_trace_merge(values);
    case Command::models:
      return run_models();
    case Command::version:
      return run_version();
    default:
      return run_help(values);
  }
}

}  // namespace

int run_command_line(const Words& arguments) {
  Words words = arguments;
  if (!words.empty() && words[0] == "--version") words[0] = "version";
  if (!words.empty() && words[0] == "--help") words[0] = "help";
  // All ranks of a launcher find the same command or none; one of them says so.
  const bool speaks = launcher_rank() == 0;
  const CommandRow* row = nullptr;
  try {
    row = &take_command(words);
  } catch (const Error& error) {
    if (speaks) print_error(error.what());
    return static_cast<int>(error.code());
  }

  const bool help = std::find(words.begin(), words.end(), "--help") != words.end();
  if (row->mpi && !help) return guard([&] { return run_mpi_command(row->command, words); });
  if (!speaks) return 0;
  return guard([&] {
    if (help) {
      std::cout << help_text(row->command);
      return 0;
    }
    return run_single_command(row->command, OptionValues(row->command, words));
  });
}

}  // namespace lockstep
