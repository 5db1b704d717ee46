#include "data/tokenizer/bert_splitter.hpp"

#include <algorithm>
#include <vector>

#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "core/error.hpp"
#include "data/utf8.hpp"

namespace lockstep {
namespace {

using Utf16 = std::vector<UChar>;

Utf16 to_utf16(std::string_view text) {
  Utf16 result;
  for (std::size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (c > 0xFFFF) result.push_back(U16_LEAD(c));
    result.push_back(c > 0xFFFF ? U16_TRAIL(c) : static_cast<UChar>(c));
  }
  return result;
}

// Calls an ICU function that fills (buffer, capacity), again with what it asked for when that was
// too little.
template <typename Function>
Utf16 filled(std::size_t guess, const Function& function) {
  Utf16 result(guess);
  for (;;) {
    UErrorCode status = U_ZERO_ERROR;
    const auto capacity = static_cast<std::int32_t>(result.size());
    const std::int32_t length = function(result.data(), capacity, &status);
    if (status != U_BUFFER_OVERFLOW_ERROR && U_FAILURE(status)) {
      fail("text normalization failed: ", u_errorName(status));
    }
    result.resize(static_cast<std::size_t>(length));
    if (length <= capacity) return result;
  }
}

// Full lower case (final sigma, dotted I), decomposed, without accents.
std::string stripped_lower(std::string_view token, const CharacterTable& table) {
  const Utf16 source = to_utf16(token);
  const auto source_length = static_cast<std::int32_t>(source.size());
  const Utf16 lower =
      filled(2 * source.size() + 8, [&](UChar* to, std::int32_t size, UErrorCode* status) {
        return u_strToLower(to, size, source.data(), source_length, "", status);
      });
  UErrorCode status = U_ZERO_ERROR;
  const UNormalizer2* nfd = unorm2_getNFDInstance(&status);
  if (U_FAILURE(status)) fail("text normalization failed: ", u_errorName(status));
  const auto lower_length = static_cast<std::int32_t>(lower.size());
  const Utf16 decomposed =
      filled(4 * lower.size() + 8, [&](UChar* to, std::int32_t size, UErrorCode* error) {
        return unorm2_normalize(nfd, lower.data(), lower_length, to, size, error);
      });
  std::string result;
  const auto length = static_cast<std::int32_t>(decomposed.size());
  for (std::int32_t i = 0; i < length;) {
    UChar32 c = 0;
    U16_NEXT(decomposed.data(), i, length, c);
    const auto code = static_cast<char32_t>(c);
    if (!(table[code] & CharacterTable::mark)) append_utf8(result, code);
  }
  return result;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

void lower_ascii(std::string& text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
}

void split_punctuation(std::string_view token,
                       const CharacterTable& table,
                       const std::function<void(std::string_view)>& take) {
  std::size_t word = 0;
  for (std::size_t i = 0; i < token.size();) {
    const std::size_t begin = i;
    const char32_t c = next_code_point(token, i);
    if (!(table[c] & CharacterTable::punctuation)) continue;
    if (begin > word) take(token.substr(word, begin - word));
    take(token.substr(begin, i - begin));
    word = i;
  }
  if (word < token.size()) take(token.substr(word));
}

}  // namespace

void BertSplitter::for_each_word(std::string_view text,
                                 const std::function<void(std::string_view)>& take) const {
  std::string token;
  const auto finish = [&] {
    if (token.empty()) return;
    if (lowercase_ && is_ascii(token)) {
      lower_ascii(token);
    } else if (lowercase_) {
      token = stripped_lower(token, table_);
    }
    split_punctuation(token, table_, take);
    token.clear();
  };
  for (std::size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    const std::uint8_t bits = table_[c];
    if (bits & CharacterTable::dropped) continue;
    if (bits & (CharacterTable::word_border | CharacterTable::ideograph)) finish();
    if (bits & CharacterTable::word_border) continue;
    append_utf8(token, c);
    if (bits & CharacterTable::ideograph) finish();
  }
  finish();
}

}  // namespace lockstep
