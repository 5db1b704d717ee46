#include "data/tokenizer/wordpiece_tokenizer.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "data/tokenizer/ids.hpp"
#include "data/tokenizer/vocabulary_files.hpp"

namespace lockstep {
namespace {

constexpr std::size_t max_word_characters = 200;
constexpr std::string_view inner_mark = "##";

bool is_inner(const std::string& token) {
  return token.size() > inner_mark.size() && token.compare(0, inner_mark.size(), inner_mark) == 0;
}

bool is_bracketed(const std::string& token) { return token.front() == '[' && token.back() == ']'; }

bool lowercase_of(const std::vector<std::string>& tokens, Lowercase lowercase) {
  if (lowercase != Lowercase::automatic) return lowercase == Lowercase::yes;
  return std::none_of(tokens.begin(), tokens.end(), [](const std::string& token) {
    return !token.empty() && !is_bracketed(token) &&
           std::any_of(token.begin(), token.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  });
}

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

WordPieceTokenizer::WordPieceTokenizer(const std::string& path,
                                       std::vector<std::string> tokens,
                                       Lowercase lowercase)
    : tokens_(std::move(tokens)), splitter_(lowercase_of(tokens_, lowercase)) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& token = tokens_[i];
    require(!token.empty(), path, ": line ", i + 1, " is empty; each line is one token");
    require(find_malformed_utf8(token) == std::string::npos, path, ": line ", i + 1,
            " is not valid UTF-8");
    longest_ = std::max(longest_, token.size());
    std::string_view key = token;
    if (is_inner(token)) key.remove_prefix(inner_mark.size());
    const auto [entry, added] =
        (is_inner(token) ? inner_ : first_).emplace(key, static_cast<std::int32_t>(i));
    if (!added) {
      throw Error(build_string(path, ": lines ", entry->second + 1, " and ", i + 1,
                               " are the same token ", escaped(token)));
    }
  }
  const std::pair<const char*, std::optional<std::int32_t>*> names[] = {
      {"[PAD]", &specials_.pad},
      {"[UNK]", &specials_.unknown},
      {"[CLS]", &specials_.cls},
      {"[SEP]", &specials_.sep},
      {"[MASK]", &specials_.mask}};
  for (const auto& [name, special] : names) {
    if (const auto found = first_.find(name); found != first_.end()) *special = found->second;
  }
  require(specials_.unknown.has_value(), path, ": no [UNK] among its ", tokens_.size(),
          " tokens; is this a WordPiece vocabulary?");
}

void WordPieceTokenizer::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  splitter_.for_each_word(text, [&](std::string_view word) { encode_word(word, ids); });
}

void WordPieceTokenizer::encode_word(std::string_view word, std::vector<std::int32_t>& ids) const {
  const std::size_t before = ids.size();
  const auto give_up = [&] {
    ids.resize(before);
    ids.push_back(*specials_.unknown);
  };
  const auto num_inside = std::count_if(word.begin(), word.end(), continues_character);
  if (word.size() - static_cast<std::size_t>(num_inside) > max_word_characters) return give_up();
  for (std::size_t begin = 0; begin < word.size();) {
    const Index& index = begin == 0 ? first_ : inner_;
    std::size_t end = std::min(word.size(), begin + longest_);
    while (end > begin) {
      const bool whole = end == word.size() || !continues_character(word[end]);
      const auto found = whole ? index.find(word.substr(begin, end - begin)) : index.end();
      if (found != index.end()) {
        ids.push_back(found->second);
        break;
      }
      --end;
    }
    if (end == begin) return give_up();
    begin = end;
  }
}

std::string WordPieceTokenizer::decode(const std::vector<std::int32_t>& ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    check_id(id, vocab_size());
    if (id == specials_.pad || id == specials_.cls || id == specials_.sep) continue;
    const std::string& token = tokens_[static_cast<std::size_t>(id)];
    if (is_inner(token)) {
      text.append(token, inner_mark.size());
    } else {
      if (!text.empty()) text.push_back(' ');
      text += token;
    }
  }
  return text;
}

std::vector<std::pair<std::string, std::string>> WordPieceTokenizer::files() const {
  return wordpiece_files(tokens_, splitter_.lowercase());
}

std::vector<std::pair<std::string, std::string>> wordpiece_files(
    const std::vector<std::string>& tokens,
    bool lowercase) {
  std::string vocabulary;
  for (const std::string& token : tokens) vocabulary += token + "\n";
  const nlohmann::json config = {{"do_lower_case", lowercase}};
  return {{"vocab.txt", vocabulary}, {"tokenizer_config.json", config.dump() + "\n"}};
}

}  // namespace lockstep
