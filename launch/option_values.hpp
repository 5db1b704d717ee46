// One command line as parsed: each option's text, where it came from and how it was typed. Values
// are checked against the table (type, range, words) when parsed, so the typed getters cannot fail
// for reasons of the user's.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "launch/options_table.hpp"

namespace lockstep {

class OptionValues {
 public:
  enum class Source { standard, file, command_line };

  // arguments: what follows the command's name. Throws Error naming the option as typed, its value
  // and what is lawful.
  OptionValues(Command command, const std::vector<std::string>& arguments);

  Command command() const { return command_; }
  bool help() const { return flag("help"); }
  const std::vector<std::string>& positional() const { return positional_; }

  const std::string& text(const std::string& name) const;
  index_t integer(const std::string& name) const;
  double real(const std::string& name) const;
  bool flag(const std::string& name) const;
  std::vector<std::string> list(const std::string& name) const;
  // Nothing when the value is the default's word ("preset", "auto", "none").
  std::optional<index_t> integer_if(const std::string& name) const;
  std::optional<double> real_if(const std::string& name) const;
  std::optional<std::string> text_if(const std::string& name) const;

  // The user asked for it: on the command line, or in a file with another value than the default (a
  // config.ini holds all options, those without effect too).
  bool given(const std::string& name) const;
  // "--tensor-parallel" as typed, "steps in run.ini", or "--tp" when it was not given.
  std::string typed(const std::string& name) const;
  // Replaces a default by what it was resolved to.
  void resolve(const std::string& name, const std::string& value);
  // All options but config and help as an INI file with the groups as comments.
  std::string ini() const;

 private:
  struct Value {
    std::vector<std::string> texts;
    Source source = Source::standard;
    std::string typed;
  };
  struct Parsed;

  const Value& value(const std::string& name) const;
  static Parsed parse_line(Command command, const std::vector<std::string>& arguments);
  static Parsed parse_file(Command command, const std::string& path);
  void take(const Parsed& parsed);
  void check_required() const;

  Command command_;
  std::map<std::string, Value> values_;
  std::vector<std::string> positional_;
};

// Strict numbers: no trailing characters, no nan or inf. Nothing when the text is not one.
std::optional<index_t> parse_integer(const std::string& text);
std::optional<double> parse_real(const std::string& text);

// --help of a command, the overview of all, and the whole reference in markdown.
std::string help_text(Command command);
std::string overview_text();
std::string markdown_reference();

}  // namespace lockstep
