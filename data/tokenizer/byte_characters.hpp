// The characters that stand for bytes in the files of byte-level BPE: printable Latin-1 for itself,
// the other 68 bytes in order as U+0100 + n.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace lockstep {

class ByteCharacters {
 public:
  ByteCharacters();

  char32_t character(unsigned char byte) const { return characters_[byte]; }
  std::string to_text(std::string_view bytes) const;
  // Absent when a character stands for no byte.
  std::optional<std::string> to_bytes(std::string_view text) const;

 private:
  std::array<char32_t, 256> characters_{};
  std::array<int, 0x144> bytes_{};  // 256 + 68 code points; -1 for those without a byte
};

}  // namespace lockstep
