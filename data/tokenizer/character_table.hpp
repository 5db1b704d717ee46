// What the splitters ask about a code point, as bits, one byte per code point (1.1 MiB, filled once
// from ICU's tables).
#pragma once

#include <cstdint>
#include <vector>

namespace lockstep {

class CharacterTable {
 public:
  // Bits; a code point may have several.
  static constexpr std::uint8_t letter = 1;       // categories L*
  static constexpr std::uint8_t number = 2;       // categories N*
  static constexpr std::uint8_t white_space = 4;  // property White_Space, \s of GPT-2's rule
  static constexpr std::uint8_t punctuation =
      8;  // P* and all ASCII that is no letter, digit, space or control
  static constexpr std::uint8_t mark = 16;  // category Mn, the accents that BERT strips
  static constexpr std::uint8_t dropped =
      32;  // BERT's cleaning: NUL, U+FFFD, Cc, Cf, but not \t \n \r
  static constexpr std::uint8_t word_border = 64;  // BERT's white space: \t \n \r, Zs, Zl, Zp
  static constexpr std::uint8_t ideograph = 128;   // BERT's CJK blocks: each character is a word

  CharacterTable();

  std::uint8_t operator[](char32_t c) const { return bits_[c]; }

 private:
  std::vector<std::uint8_t> bits_;
};

}  // namespace lockstep
