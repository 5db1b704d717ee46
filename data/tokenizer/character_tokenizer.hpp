// One id per code point of the training text, in ascending order; then end of document, unknown,
// mask. Kept as characters.json: {"kind": "characters", "characters": "\n !$&'..."}.
#pragma once

#include <string>
#include <unordered_map>

#include "data/tokenizer/tokenizer.hpp"

namespace lockstep {

class CharacterTokenizer final : public Tokenizer {
 public:
  // characters: each once, ascending. Error (refused) naming `path` otherwise.
  CharacterTokenizer(const std::string& path, const std::string& characters);

  const std::string& kind() const override { return kind_; }
  index_t vocab_size() const override { return static_cast<index_t>(characters_.size()) + 3; }
  SpecialIds specials() const override;
  std::pair<std::int32_t, std::int32_t> random_ids() const override { return {0, end()}; }
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override;
  std::string decode(const std::vector<std::int32_t>& ids) const override;
  std::vector<std::pair<std::string, std::string>> files() const override;

 private:
  std::int32_t end() const { return static_cast<std::int32_t>(characters_.size()); }

  std::string kind_ = "characters";
  std::u32string characters_;
  std::unordered_map<char32_t, std::int32_t> ids_;
};

}  // namespace lockstep
