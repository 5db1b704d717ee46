#include "launch/option_values.hpp"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <boost/program_options.hpp>

#include "core/error.hpp"
#include "core/nearest.hpp"

namespace lockstep {
namespace po = boost::program_options;

// What one source said: (option as typed, value), in order.
struct OptionValues::Parsed {
  Source source = Source::standard;
  std::string file;
  std::vector<std::pair<std::string, std::string>> options;
  std::vector<std::string> positional;

  std::string typed(const std::string& name) const {
    return source == Source::file ? build_string(name, " in ", file) : "--" + name;
  }
};

namespace {

const OptionRow* find_row(Command command, const std::string& name) {
  for (const OptionRow* row : options_of(command)) {
    if (row->name == name || (*row->alias && row->alias == name)) return row;
  }
  return nullptr;
}

po::options_description description_of(Command command) {
  po::options_description description;
  const auto add = [&](const char* name, bool flag) {
    auto* value = po::value<std::vector<std::string>>();
    if (flag) value->implicit_value({"true"}, "true");
    description.add_options()(name, value, "");
  };
  for (const OptionRow* row : options_of(command)) {
    add(row->name, row->type == OptionType::flag);
    if (*row->alias) add(row->alias, row->type == OptionType::flag);
  }
  return description;
}

[[noreturn]] void refuse_unknown(Command command,
                                 const std::string& typed,
                                 const std::string& name,
                                 const std::string& dashes) {
  std::vector<std::string> known;
  for (const OptionRow* row : options_of(command)) {
    known.push_back(row->name);
    if (*row->alias) known.push_back(row->alias);
  }
  throw Error(build_string(typed, " is not an option of `lockstep ", row_of(command).name,
                           "`; did you mean ", dashes, nearest(name, known), "?"));
}

std::string join(const std::vector<std::string>& words, const char* separator) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
  return text;
}

std::string plain(double number) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
  return {buffer, end};
}

std::string range_of(const OptionRow& row) {
  const std::string kind = row.type == OptionType::integer ? "a whole number" : "a number";
  const bool low = row.minimum > -1e299, high = row.maximum < 1e9;
  const std::string word =
      *row.standard && !parse_real(row.standard) ? build_string(" or ", row.standard) : "";
  if (!low) return "a finite number" + word;
  const std::string from = (row.above_minimum ? " above "
                            : high            ? " from "
                                              : " of at least ") +
                           plain(row.minimum);
  return kind + from + (high ? (row.above_minimum ? " up to " : " to ") + plain(row.maximum) : "") +
         word;
}

void check_number(const OptionRow& row, const std::string& typed, const std::string& text) {
  std::optional<double> number;
  if (row.type == OptionType::integer) {
    if (const auto whole = parse_integer(text)) number = static_cast<double>(*whole);
  } else {
    number = parse_real(text);
  }
  const bool good = number && *number >= row.minimum && *number <= row.maximum &&
                    !(row.above_minimum && *number == row.minimum);
  require(good, typed, " is ", text.empty() ? "empty" : text, "; it must be ", range_of(row));
}

void check_text(const OptionRow& row, const std::string& typed, const std::string& text) {
  const bool clean = std::none_of(text.begin(), text.end(),
                                  [](char c) { return c == '\n' || c == '\r' || c == '\0'; });
  if (std::string(row.name) == "prompt") return;
  require(!text.empty(), typed, " is empty");
  // An INI file could not hold it: '#' begins a comment there, and blanks at the ends are cut off.
  if (row.commands & static_cast<unsigned>(Command::pretrain)) {
    require(
        clean && text.find('#') == std::string::npos && text.front() != ' ' && text.back() != ' ',
        typed, " is '", text,
        "'; a value must have no '#', no line end and no blank at its ends: config.ini could not "
        "hold it");
  }
}

void check_value(const OptionRow& row, const std::string& typed, const std::string& text) {
  if (text == row.standard && *row.standard) return;
  switch (row.type) {
    case OptionType::integer:
    case OptionType::real:
      check_number(row, typed, text);
      break;
    case OptionType::flag:
      require(text == "true" || text == "false", typed, " is ", text, "; it must be true or false");
      break;
    case OptionType::choice: {
      const bool known = std::find(row.words.begin(), row.words.end(), text) != row.words.end();
      require(known, typed, " is ", text.empty() ? "empty" : text, "; it must be one of ",
              join(row.words, ", "));
      break;
    }
    case OptionType::text:
    case OptionType::list:
      check_text(row, typed, text);
  }
  const bool refused =
      std::find(row.not_yet.begin(), row.not_yet.end(), text) != row.not_yet.end() ||
      (row.not_yet.size() == 1 && row.not_yet[0] == "*");
  const bool numeric = row.type == OptionType::integer || row.type == OptionType::real;
  const bool same =
      numeric && parse_real(row.standard) && parse_real(text) == parse_real(row.standard);
  require(!refused || same, typed, row.type == OptionType::flag ? "" : " " + text,
          " is not there yet in this version", *row.not_yet_text ? "; " : "", row.not_yet_text);
}

// The name as typed of "--name=value", without the dashes.
std::string bare_name(const std::string& token) {
  const std::string name = token.substr(0, token.find('='));
  return name.substr(std::min(name.find_first_not_of('-'), name.size()));
}

// The value of an option; a flag without one is true.
std::string said(Command command, const po::option& option) {
  if (!option.value.empty()) return option.value.front();
  const OptionRow* row = find_row(command, option.string_key);
  return row && row->type == OptionType::flag ? "true" : "";
}

std::string cleaned(const po::error& error) {
  std::string message = error.what();
  std::replace(message.begin(), message.end(), '\n', ' ');
  return message;
}

}  // namespace

std::optional<index_t> parse_integer(const std::string& text) {
  index_t number = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  if (text.empty() || result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return number;
}

std::optional<double> parse_real(const std::string& text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  if (text.empty() || result.ec != std::errc() || result.ptr != end || !std::isfinite(number))
    return std::nullopt;
  return number;
}

OptionValues::OptionValues(Command command, const std::vector<std::string>& arguments)
    : command_(command) {
  for (const OptionRow* row : options_of(command)) {
    Value standard;
    const bool empty = row->type == OptionType::list && std::string(row->standard) == "none";
    if (*row->standard && !empty) standard.texts = {row->standard};
    standard.typed = build_string("--", row->name);
    values_[row->name] = standard;
  }

  const Parsed line = parse_line(command, arguments);
  for (const auto& [name, file] : line.options) {
    if (name == "config") take(parse_file(command, file));
  }
  take(line);
  positional_ = line.positional;
  if (!help()) check_required();
}

OptionValues::Parsed OptionValues::parse_line(Command command,
                                              const std::vector<std::string>& arguments) {
  const auto style = po::command_line_style::allow_long |
                     po::command_line_style::long_allow_adjacent |
                     po::command_line_style::long_allow_next;
  const po::options_description description = description_of(command);
  Parsed line{Source::command_line, "", {}, {}};
  // A flag takes no word after it: `--sentences INPUT` is a flag and an input.
  std::vector<std::string> words = arguments;
  for (std::string& word : words) {
    const OptionRow* row = word.rfind("--", 0) == 0 ? find_row(command, word.substr(2)) : nullptr;
    if (row && row->type == OptionType::flag) word += "=true";
  }
  try {
    const auto found =
        po::command_line_parser(words).options(description).style(style).allow_unregistered().run();
    for (const auto& option : found.options) {
      const std::string token =
          option.original_tokens.empty() ? "" : option.original_tokens.front();
      const bool dashed = token.size() > 1 && token.front() == '-';
      if (option.string_key.empty() && !dashed) {
        line.positional.push_back(token);
      } else if (option.string_key.empty() || option.unregistered) {
        refuse_unknown(command, token.substr(0, token.find('=')), bare_name(token), "--");
      } else {
        line.options.emplace_back(option.string_key, said(command, option));
      }
    }
  } catch (const po::error& error) {
    throw Error(build_string(cleaned(error), "; see `lockstep ", row_of(command).name, " --help`"));
  }
  return line;
}

OptionValues::Parsed OptionValues::parse_file(Command command, const std::string& path) {
  std::ifstream stream(path);
  require(stream.good() && !std::filesystem::is_directory(path), "--config ", path,
          ": cannot be read");
  const po::options_description description = description_of(command);
  Parsed file{Source::file, path, {}, {}};
  try {
    for (const auto& option : po::parse_config_file(stream, description, true).options) {
      const std::string& name = option.string_key;
      if (option.unregistered) refuse_unknown(command, build_string(name, " in ", path), name, "");
      require(name != "config" && name != "help", name, " in ", path, ": only on the command line");
      file.options.emplace_back(name, said(command, option));
    }
  } catch (const po::error& error) {
    throw Error(build_string("--config ", path, ": ", cleaned(error)));
  }
  return file;
}

void OptionValues::take(const Parsed& parsed) {
  std::set<std::string> seen;
  for (const auto& [name, text] : parsed.options) {
    const OptionRow* row = find_row(command_, name);
    assert(row);
    const bool repeated = !seen.insert(row->name).second;
    require(!repeated || row->type == OptionType::list, parsed.typed(name), " is given twice");
    check_value(*row, parsed.typed(name), text);
    Value& value = values_[row->name];
    if (!repeated) value.texts.clear();
    value.texts.push_back(text);
    value.source = parsed.source;
    value.typed = parsed.typed(name);
  }
}

void OptionValues::check_required() const {
  for (const OptionRow* row : options_of(command_)) {
    require(!row->required || !value(row->name).texts.empty(), "--", row->name,
            " is missing: `lockstep ", row_of(command_).name, "` needs --", row->name, " ",
            row->placeholder);
  }
  const CommandRow& command = row_of(command_);
  const int count = static_cast<int>(positional_.size());
  require(count >= command.minimum_arguments, "`lockstep ", command.name, "` needs ",
          command.arguments);
  require(command.maximum_arguments < 0 || count <= command.maximum_arguments, "`lockstep ",
          command.name, "` does not take the argument '", count ? positional_.back() : "", "'");
}

const OptionValues::Value& OptionValues::value(const std::string& name) const {
  const auto found = values_.find(name);
  assert(found != values_.end());
  return found->second;
}

const std::string& OptionValues::text(const std::string& name) const {
  static const std::string none;
  const Value& found = value(name);
  return found.texts.empty() ? none : found.texts.front();
}

index_t OptionValues::integer(const std::string& name) const {
  const auto number = parse_integer(text(name));
  assert(number);
  return *number;
}

double OptionValues::real(const std::string& name) const {
  const auto number = parse_real(text(name));
  assert(number);
  return *number;
}

bool OptionValues::flag(const std::string& name) const { return text(name) == "true"; }

std::vector<std::string> OptionValues::list(const std::string& name) const {
  return value(name).texts;
}

std::optional<index_t> OptionValues::integer_if(const std::string& name) const {
  return parse_integer(text(name));
}

std::optional<double> OptionValues::real_if(const std::string& name) const {
  return parse_real(text(name));
}

std::optional<std::string> OptionValues::text_if(const std::string& name) const {
  const OptionRow* row = find_row(command_, name);
  if (text(name) == row->standard) return std::nullopt;
  return text(name);
}

bool OptionValues::given(const std::string& name) const {
  const Value& found = value(name);
  if (found.source == Source::command_line) return true;
  return found.source == Source::file &&
         !(found.texts.size() == 1 && found.texts[0] == find_row(command_, name)->standard);
}

std::string OptionValues::typed(const std::string& name) const { return value(name).typed; }

void OptionValues::resolve(const std::string& name, const std::string& text) {
  assert(values_.count(name));
  values_[name].texts = {text};
}

std::string OptionValues::ini() const {
  std::string text, group;
  for (const OptionRow* row : options_of(command_)) {
    const std::string name = row->name;
    if (name == "config" || name == "help") continue;
    if (group != row->group) text += build_string(text.empty() ? "" : "\n", "# ", row->group, "\n");
    group = row->group;
    for (const std::string& one : value(name).texts) text += build_string(name, " = ", one, "\n");
  }
  return text;
}

}  // namespace lockstep
