#include "data/tokenizer/byte_characters.hpp"

#include "data/utf8.hpp"

namespace lockstep {
namespace {

bool is_printable(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

}  // namespace

ByteCharacters::ByteCharacters() {
  bytes_.fill(-1);
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t c = is_printable(byte) ? static_cast<char32_t>(byte) : next++;
    characters_[static_cast<std::size_t>(byte)] = c;
    bytes_[c] = byte;
  }
}

std::string ByteCharacters::to_text(std::string_view bytes) const {
  std::string text;
  for (const char byte : bytes) append_utf8(text, character(static_cast<unsigned char>(byte)));
  return text;
}

std::optional<std::string> ByteCharacters::to_bytes(std::string_view text) const {
  std::string bytes;
  for (std::size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (c >= bytes_.size() || bytes_[c] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(bytes_[c]));
  }
  return bytes;
}

}  // namespace lockstep
