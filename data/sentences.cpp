#include "data/sentences.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include <unicode/uchar.h>

#include "data/utf8.hpp"

namespace lockstep {
namespace {

// Words whose full stop is not the end of a sentence, without it, sorted.
constexpr std::array<std::string_view, 50> abbreviations = {
    "Adm", "Apr",    "Aug",  "Bros", "Capt", "Cf",  "Co",   "Col", "Corp", "Dec",
    "Dr",  "Esq",    "Feb",  "Fig",  "Gen",  "Gov", "Hon",  "Inc", "Jan",  "Jr",
    "Lt",  "Ltd",    "Maj",  "Mar",  "Mr",   "Mrs", "Ms",   "Mt",  "No",   "Nov",
    "Oct", "Ph",     "Prof", "Rep",  "Rev",  "Sen", "Sept", "Sgt", "Sr",   "St",
    "al",  "approx", "cf",   "e.g",  "eq",   "etc", "fig",  "i.e", "no",   "vs"};

bool is_space(char32_t c) {
  return c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0xA0 || c == 0x3000;
}
bool is_line_end(char32_t c) { return c == '\n' || c == '\r' || c == 0x2028 || c == 0x2029; }
// Ends a sentence where white space and a start follow: also the Devanagari danda, the Arabic full
// stop and question mark.
bool is_stop(char32_t c) {
  return c == '.' || c == '!' || c == '?' || c == 0x2026 || c == 0x0964 || c == 0x061F ||
         c == 0x06D4;
}
// Ends a sentence whatever follows.
bool is_full_stop(char32_t c) { return c == 0x3002 || c == 0xFF01 || c == 0xFF1F || c == 0xFF61; }
bool is_closing(char32_t c) {
  return c == '"' || c == '\'' || c == ')' || c == ']' || c == '}' || c == 0x2019 || c == 0x201D ||
         c == 0xBB || c == 0x300D || c == 0x300F || c == 0xFF09;
}
bool is_start(char32_t c) {
  if (c < 0x80) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '"' || c == '\'' || c == '(' ||
           c == '[';
  }
  return u_islower(static_cast<UChar32>(c)) == 0;
}

// The word before the full stop at `stop`: from the last white space or opening bracket on.
bool is_abbreviation(std::string_view text, std::size_t stop) {
  constexpr std::size_t longest = 8;
  std::size_t begin = stop;
  while (begin > 0 && stop - begin <= longest) {
    const char c = text[begin - 1];
    if (c == '(' || c == '[' || c == '"' || is_space(static_cast<unsigned char>(c))) break;
    --begin;
  }
  const std::string_view word = text.substr(begin, stop - begin);
  if (word.size() == 1) return word[0] >= 'A' && word[0] <= 'Z' && word[0] != 'I';  // an initial
  return std::binary_search(abbreviations.begin(), abbreviations.end(), word);
}

// Moves on while the predicate holds; returns the first code point for which it does not, or 0 at
// the end.
template <typename Predicate>
char32_t skip(std::string_view text, std::size_t& position, Predicate holds) {
  while (position < text.size()) {
    std::size_t next = position;
    const char32_t c = next_code_point(text, next);
    if (!holds(c)) return c;
    position = next;
  }
  return 0;
}

// After a stop that ends at `position`: is this the end of a sentence? Moves past further stops and
// closing marks.
bool ends_here(std::string_view text, std::size_t stop, std::size_t& position, char32_t mark) {
  skip(text, position, is_stop);
  const bool one_dot = mark == '.' && position == stop + 1;
  skip(text, position, is_closing);
  if (is_full_stop(mark)) return true;
  std::size_t ahead = position;
  const char32_t next = skip(text, ahead, is_space);
  return ahead > position && is_start(next) && !(one_dot && is_abbreviation(text, stop));
}

}  // namespace

std::vector<std::size_t> sentence_starts(std::string_view text) {
  std::vector<std::size_t> starts;
  if (text.empty()) return starts;
  starts.push_back(0);
  bool has_content = false;  // of the current piece
  std::size_t position = 0;
  while (position < text.size()) {
    const std::size_t at = position;
    const auto byte = static_cast<unsigned char>(text[at]);
    // Most bytes are letters and blanks: they cost one comparison.
    if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z')) {
      has_content = true;
      ++position;
      continue;
    }
    const char32_t c = next_code_point(text, position);
    bool ends = is_line_end(c);
    if (is_stop(c) || is_full_stop(c)) {
      has_content = true;
      ends = ends_here(text, at, position, c);
    } else if (!is_space(c) && !ends) {
      has_content = true;
    }
    if (!ends || !has_content) continue;
    if (is_line_end(c)) position = at;
    std::size_t ahead = position;
    skip(text, ahead, [](char32_t x) { return is_space(x) || is_line_end(x); });
    if (ahead == text.size()) break;  // white space at the end belongs to the last sentence
    starts.push_back(position);
    has_content = false;
    position = ahead;
  }
  return starts;
}

}  // namespace lockstep
