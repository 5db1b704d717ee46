#include "data/tokenizer/character_table.hpp"

#include <unicode/uchar.h>

namespace lockstep {
namespace {

constexpr char32_t num_code_points = 0x110000;

struct Range {
  char32_t first, last;
};

// As in BERT's tokenizer: Hangul and kana are not among them.
constexpr Range ideographs[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF},
                                {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
constexpr Range ascii_punctuation[] = {{33, 47}, {58, 64}, {91, 96}, {123, 126}};

std::uint8_t bits_of(UCharCategory category) {
  const std::uint32_t mask = U_MASK(category);
  if (mask & U_GC_L_MASK) return CharacterTable::letter;
  if (mask & U_GC_N_MASK) return CharacterTable::number;
  if (mask & U_GC_P_MASK) return CharacterTable::punctuation;
  if (mask & U_GC_MN_MASK) return CharacterTable::mark;
  if (mask & (U_GC_CC_MASK | U_GC_CF_MASK)) return CharacterTable::dropped;
  if (mask & U_GC_Z_MASK) return CharacterTable::word_border;
  return 0;
}

// ICU calls it once per range [first, last) of one category.
UBool fill_range(const void* context, UChar32 first, UChar32 last, UCharCategory category) {
  auto* bits = static_cast<std::uint8_t*>(const_cast<void*>(context));
  for (UChar32 c = first; c < last; ++c) bits[c] = bits_of(category);
  return true;
}

}  // namespace

CharacterTable::CharacterTable() : bits_(num_code_points, 0) {
  u_enumCharTypes(fill_range, bits_.data());
  for (char32_t c = 0; c < num_code_points; ++c) {
    // White_Space is a part of the controls and separators: only those few are asked about.
    if (!(bits_[c] & (dropped | word_border))) continue;
    if (u_isUWhiteSpace(static_cast<UChar32>(c))) bits_[c] |= white_space;
  }
  for (const char32_t c : {U'\t', U'\n', U'\r'}) bits_[c] = white_space | word_border;
  bits_[0xFFFD] |= dropped;
  for (const Range range : ascii_punctuation) {
    for (char32_t c = range.first; c <= range.last; ++c) bits_[c] |= punctuation;
  }
  for (const Range range : ideographs) {
    for (char32_t c = range.first; c <= range.last; ++c) bits_[c] |= ideograph;
  }
}

}  // namespace lockstep
