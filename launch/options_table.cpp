#include "launch/options_table.hpp"

#include <cassert>
#include <utility>

#include "launch/option_rows/rows.hpp"

namespace lockstep {
namespace {

std::vector<OptionRow> make_table() {
  std::vector<OptionRow> table;
  for (auto* rows : {model_rows, checkpoint_rows, data_rows, optimizer_rows, layout_rows,
                     numerics_rows, run_rows, text_rows, other_rows}) {
    for (OptionRow& row : rows()) table.push_back(std::move(row));
  }
  // verify reads whatever configuration a run can have.
  for (OptionRow& row : table) {
    const bool needed = !row.required || std::string(row.name) == "corpus";
    if (row.commands & kPretrain && needed) row.commands |= bit(Command::verify);
  }
  return table;
}

}  // namespace

const std::vector<OptionRow>& option_table() {
  static const std::vector<OptionRow> table = make_table();
  return table;
}

const std::vector<CommandRow>& command_table() {
  using enum Command;
  static const std::vector<CommandRow> table = {
      {pretrain, "pretrain", "", 0, 0, true,
       "train a model on a corpus; under mpirun, srun, or alone"},
      {eval, "eval", "", 0, 0, true, "loss of a checkpoint over a whole split"},
      {generate, "generate", "", 0, 0, true, "write text with a causal model"},
      {bench, "bench", "", 0, 0, true, "time whole training steps on random tokens"},
      {verify, "verify", "", 0, 0, true,
       "compare the layout of a run with one rank, gradient by gradient"},
      {corpus_build, "corpus build", "INPUT...", 1, -1, false,
       "tokenize text into HDF5 shards; INPUT: files, directories, .gz, -"},
      {corpus_info, "corpus info", "DIR", 1, 1, false, "what a corpus holds"},
      {corpus_verify, "corpus verify", "DIR", 1, 1, false, "check every byte of a corpus"},
      {corpus_show, "corpus show", "DIR", 1, 1, false, "print a document's text again"},
      {tokenizer_train, "tokenizer train", "INPUT...", 1, -1, false, "make a vocabulary from text"},
      {tokenizer_encode, "tokenizer encode", "[INPUT]", 0, 1, false,
       "a line of ids for each line of text"},
      {tokenizer_decode, "tokenizer decode", "[INPUT]", 0, 1, false,
       "a line of text for each line of ids"},
      {checkpoint_info, "checkpoint info", "PATH", 1, 1, false, "what a checkpoint holds"},
      {checkpoint_verify, "checkpoint verify", "PATH", 1, 1, false,
       "check every byte of a checkpoint"},
      {schedule_show, "schedule show", "", 0, 0, false,
       "a pipeline schedule's grid, bubble and memory"},
      {trace_merge, "trace merge", "RUN", 1, 1, false,
       "join the trace of every rank of a run on one clock"},
      {models, "models", "", 0, 0, false, "the presets and their sizes"},
      {version, "version", "", 0, 0, false, "version, compiler, libraries, CPU features"},
      {help, "help", "[COMMAND]", 0, 2, false, "this overview, or a command's options"},
  };
  return table;
}

std::vector<const OptionRow*> options_of(Command command) {
  std::vector<const OptionRow*> rows;
  for (const OptionRow& row : option_table()) {
    if (row.commands & bit(command)) rows.push_back(&row);
  }
  return rows;
}

const CommandRow& row_of(Command command) {
  for (const CommandRow& row : command_table()) {
    if (row.command == command) return row;
  }
  assert(false && "a command without a row");
  return command_table().front();
}

}  // namespace lockstep
