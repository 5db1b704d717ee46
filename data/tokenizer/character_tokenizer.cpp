#include "data/tokenizer/character_tokenizer.hpp"

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "data/tokenizer/ids.hpp"
#include "data/utf8.hpp"

namespace lockstep {

CharacterTokenizer::CharacterTokenizer(const std::string& path, const std::string& characters) {
  for (std::size_t i = 0; i < characters.size();) {
    const char32_t c = next_code_point(characters, i);
    require(characters_.empty() || c > characters_.back(), path, ": character ", characters_.size(),
            " of `characters` (code point ", static_cast<std::uint32_t>(c),
            ") is not above the one before it; they must ascend, each once");
    ids_.emplace(c, end());
    characters_.push_back(c);
  }
  require(!characters_.empty(), path, ": `characters` is empty");
}

SpecialIds CharacterTokenizer::specials() const {
  SpecialIds ids;
  ids.eod = end();
  ids.unknown = end() + 1;
  ids.mask = end() + 2;
  return ids;
}

void CharacterTokenizer::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  for (std::size_t i = 0; i < text.size();) {
    const auto found = ids_.find(next_code_point(text, i));
    ids.push_back(found == ids_.end() ? end() + 1 : found->second);
  }
}

std::string CharacterTokenizer::decode(const std::vector<std::int32_t>& ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    check_id(id, vocab_size());
    if (id < end()) append_utf8(text, characters_[static_cast<std::size_t>(id)]);
  }
  return text;
}

std::vector<std::pair<std::string, std::string>> CharacterTokenizer::files() const {
  std::string characters;
  for (const char32_t c : characters_) append_utf8(characters, c);
  const nlohmann::ordered_json json = {{"kind", kind_}, {"characters", characters}};
  return {{"characters.json", json.dump() + "\n"}};
}

}  // namespace lockstep
