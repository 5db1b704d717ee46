// Reading the files a tokenizer is made of. Every error is one line that starts with the file's
// path.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace lockstep {

// Content of a regular file (a pipe or a device could block or never end).
std::string read_vocabulary_file(const std::string& path);
nlohmann::json parse_json(const std::string& path, const std::string& content);
// json.at(field) as a string, or an Error that names path, field and what is there instead.
std::string string_field(const std::string& path, const nlohmann::json& json, const char* field);
// Lines without their ends (LF or CR LF); an empty last line does not count.
std::vector<std::string> split_lines(const std::string& content);
// The byte offset of the first malformed sequence, or npos.
std::size_t find_malformed_utf8(const std::string& text);
// Text as a JSON string: on one line and in ASCII, whatever it holds.
std::string escaped(const std::string& text);
// {token: id} to tokens by id; ids nobody has are empty strings. Ids are unique and leave few gaps.
std::vector<std::string> tokens_by_id(const std::string& path, const nlohmann::json& vocabulary);

}  // namespace lockstep
