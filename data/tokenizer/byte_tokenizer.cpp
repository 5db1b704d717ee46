#include "data/tokenizer/byte_tokenizer.hpp"

#include "data/tokenizer/ids.hpp"

namespace lockstep {

SpecialIds ByteTokenizer::specials() const {
  SpecialIds ids;
  ids.eod = 256;
  ids.mask = 257;
  return ids;
}

void ByteTokenizer::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  ids.reserve(ids.size() + text.size());
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
}

std::string ByteTokenizer::decode(const std::vector<std::int32_t>& ids) const {
  std::string text;
  text.reserve(ids.size());
  for (const std::int32_t id : ids) {
    check_id(id, vocab_size());
    if (id < 256) text.push_back(static_cast<char>(id));
  }
  return text;
}

}  // namespace lockstep
