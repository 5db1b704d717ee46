// The words of BERT's basic tokenizer (google-research/bert): clean, split at white space, each CJK
// character a word; when lower-casing: lower case, NFD, accents (Mn) dropped; then each punctuation
// character a word.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "data/tokenizer/character_table.hpp"

namespace lockstep {

class BertSplitter {
 public:
  explicit BertSplitter(bool lowercase) : lowercase_(lowercase) {}

  bool lowercase() const { return lowercase_; }
  // Calls take(word) in order; a word is valid UTF-8, not empty, and lives until take returns.
  void for_each_word(std::string_view text,
                     const std::function<void(std::string_view)>& take) const;

 private:
  bool lowercase_;
  CharacterTable table_;
};

}  // namespace lockstep
