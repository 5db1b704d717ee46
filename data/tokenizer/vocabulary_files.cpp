#include "data/tokenizer/vocabulary_files.hpp"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "data/utf8.hpp"

namespace lockstep {

std::string read_vocabulary_file(const std::string& path) {
  std::error_code error;
  require(std::filesystem::exists(path, error), "cannot read ", path, ": no such file");
  require(std::filesystem::is_regular_file(path, error), "cannot read ", path,
          ": it is not a regular file");
  return read_file(path);
}

nlohmann::json parse_json(const std::string& path, const std::string& content) {
  try {
    return nlohmann::json::parse(content);
  } catch (const nlohmann::json::parse_error& error) {
    throw Error(build_string(path, ": broken JSON at byte ", error.byte, " of ", content.size(),
                             "; is the file cut short?"));
  } catch (const nlohmann::json::exception& error) {
    throw Error(build_string(path, ": JSON that cannot be read (error ", error.id, ")"));
  }
}

std::string string_field(const std::string& path, const nlohmann::json& json, const char* field) {
  require(json.is_object() && json.contains(field), path, ": field `", field, "` is missing");
  require(json[field].is_string(), path, ": field `", field, "` is ", json[field].type_name(),
          ", must be a string");
  return json[field].get<std::string>();
}

std::vector<std::string> split_lines(const std::string& content) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    const std::size_t length = end - begin;
    lines.push_back(
        content.substr(begin, length > 0 && content[end - 1] == '\r' ? length - 1 : length));
    begin = end + 1;
  }
  return lines;
}

std::size_t find_malformed_utf8(const std::string& text) {
  constexpr std::string_view replacement = "\xEF\xBF\xBD";
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t begin = i;
    const char32_t c = next_code_point(text, i);
    if (c == 0xFFFD && text.compare(begin, replacement.size(), replacement) != 0) return begin;
  }
  return std::string::npos;
}

std::string escaped(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::vector<std::string> tokens_by_id(const std::string& path, const nlohmann::json& vocabulary) {
  require(vocabulary.is_object() && !vocabulary.empty(), path,
          ": the vocabulary is not an object {token: id}, or is empty");
  // A few unused ids are common (padding, removed tokens); far more are a damaged file and would
  // cost memory.
  const std::uint64_t limit = 2 * vocabulary.size() + 1024;
  std::vector<std::string> tokens;
  for (const auto& [token, value] : vocabulary.items()) {
    const std::uint64_t id = value.is_number_unsigned() ? value.get<std::uint64_t>() : limit;
    if (token.empty() || id >= limit) {
      throw Error(build_string(path, ": token ", escaped(token), " has the id ",
                               value.dump(-1, ' ', true),
                               "; tokens are not empty, ids whole numbers from 0 with few gaps"));
    }
    if (id >= tokens.size()) tokens.resize(id + 1);
    if (!tokens[id].empty()) {
      throw Error(build_string(path, ": tokens ", escaped(tokens[id]), " and ", escaped(token),
                               " have the same id ", id));
    }
    tokens[id] = token;
  }
  return tokens;
}

}  // namespace lockstep
