// The three printed forms of the option table.
#include <algorithm>

#include "core/error.hpp"
#include "launch/option_values.hpp"

namespace lockstep {
namespace {

std::string value_of(const OptionRow& row) {
  if (row.type == OptionType::flag) return "";
  if (row.type != OptionType::choice) return row.placeholder;
  std::string words;
  for (const std::string& word : row.words) words += (words.empty() ? "" : "|") + word;
  return words;
}

std::string left_of(const OptionRow& row) {
  std::string left = build_string("--", row.name);
  if (*row.alias) left += build_string(", --", row.alias);
  const std::string value = value_of(row);
  return value.empty() ? left : left + " " + value;
}

bool all_to_come(const OptionRow& row) { return row.not_yet.size() == 1 && row.not_yet[0] == "*"; }

std::string note_of(const OptionRow& row) {
  if (row.required) return "required";
  if (all_to_come(row)) return "not there yet";
  std::string note = row.type == OptionType::flag ? "" : build_string("default: ", row.standard);
  if (row.not_yet.empty()) return note;
  std::string words;
  for (const std::string& word : row.not_yet) words += (words.empty() ? "" : ", ") + word;
  return note + "; not there yet: " + words;
}

std::string usage_of(const CommandRow& command) {
  return build_string("lockstep ", command.name, " [options]", *command.arguments ? " " : "",
                      command.arguments);
}

// "--name VALUE" in a column of 32, the text after it; a longer left side has a line of its own.
std::string help_line(const OptionRow& row) {
  constexpr std::size_t column = 34;
  std::string line = "  " + left_of(row);
  if (line.size() + 2 > column)
    line += "\n" + std::string(column, ' ');
  else
    line.resize(column, ' ');
  const std::string note = note_of(row);
  return line + row.help + (note.empty() ? "" : " [" + note + "]") + "\n";
}

}  // namespace

std::string help_text(Command command) {
  const CommandRow& row = row_of(command);
  std::string text = build_string("usage: ", usage_of(row), "\n\n", row.summary, "\n");
  std::string group;
  for (const OptionRow* option : options_of(command)) {
    if (group != option->group) text += build_string("\n", option->group, ":\n");
    group = option->group;
    text += help_line(*option);
  }
  return text;
}

std::string overview_text() {
  std::string text =
      "usage: lockstep COMMAND [options]\n\nLockstep pretrains Transformers with MPI.\n\n";
  std::size_t width = 0;
  for (const CommandRow& row : command_table())
    width = std::max(width, std::string(row.name).size());
  for (const CommandRow& row : command_table()) {
    std::string name = row.name;
    name.resize(width + 2, ' ');
    text += "  " + name + row.summary + "\n";
  }
  return text + "\n`lockstep COMMAND --help` lists a command's options.\n";
}

std::string markdown_reference() {
  std::string text =
      "# Command line\n\nMade by `lockstep help --markdown` from the table that also drives the "
      "parser.\n"
      "Every command takes `--help` and `--config FILE`.\n";
  for (const CommandRow& command : command_table()) {
    text += build_string("\n## lockstep ", command.name, "\n\n`", usage_of(command),
                         "`: ", command.summary, ".",
                         command.mpi ? " Runs under mpirun or srun." : "", "\n");
    std::string group;
    for (const OptionRow* option : options_of(command.command)) {
      const std::string name = option->name;
      if (name == "config" || name == "help") continue;
      if (group != option->group) {
        text += build_string("\n| ", option->group, " | | |\n| --- | --- | --- |\n");
      }
      group = option->group;
      std::string left = left_of(*option);
      for (std::size_t at = 0; (at = left.find('|', at)) != std::string::npos; at += 2)
        left.insert(at, "\\");
      text += build_string("| `", left, "` | ", option->help, " | ", note_of(*option), " |\n");
    }
  }
  return text;
}

}  // namespace lockstep
