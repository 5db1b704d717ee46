// The one table of commands and options: the parser, --help, config.ini, the markdown reference and
// completion all read it.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

enum class Command : unsigned {
  pretrain = 1u << 0,
  eval = 1u << 1,
  generate = 1u << 2,
  bench = 1u << 3,
  corpus_build = 1u << 4,
  corpus_info = 1u << 5,
  corpus_verify = 1u << 6,
  corpus_show = 1u << 7,
  tokenizer_train = 1u << 8,
  tokenizer_encode = 1u << 9,
  tokenizer_decode = 1u << 10,
  checkpoint_info = 1u << 11,
  checkpoint_verify = 1u << 12,
  schedule_show = 1u << 13,
  models = 1u << 14,
  version = 1u << 15,
  help = 1u << 16,
  verify = 1u << 17,
  trace_merge = 1u << 18
};

enum class OptionType { flag, text, integer, real, choice, list };

struct OptionRow {
  const char* name;
  OptionType type;
  const char* standard;  // the default as printed; "" means: must be given, or off for a flag
  unsigned commands;     // Command bits
  const char* group;
  const char* placeholder;  // "N"; of a choice: empty, its words are shown
  const char* help;
  double minimum = 0, maximum = 0;   // of integer and real, inclusive; a default that is a word
                                     // ("preset") is lawful too
  bool above_minimum = false;        // the minimum itself is not lawful
  std::vector<std::string> words{};  // of a choice
  const char* alias = "";            // the long name of --tp
  bool required = false;
  // Values whose feature is not there yet ("*": every value but the default), and what the refusal
  // adds.
  std::vector<std::string> not_yet{};
  const char* not_yet_text = "";
};

struct CommandRow {
  Command command;
  const char* name;                          // "corpus build"
  const char* arguments;                     // positional ones as shown, "" for none
  int minimum_arguments, maximum_arguments;  // maximum -1: any number
  bool mpi;                                  // runs under mpirun
  const char* summary;
};

const std::vector<OptionRow>& option_table();
const std::vector<CommandRow>& command_table();

// Rows of one command, in table order.
std::vector<const OptionRow*> options_of(Command command);
const CommandRow& row_of(Command command);

}  // namespace lockstep
