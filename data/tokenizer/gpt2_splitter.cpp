#include "data/tokenizer/gpt2_splitter.hpp"

#include "data/utf8.hpp"

namespace lockstep {
namespace {

constexpr std::uint8_t classes =
    CharacterTable::letter | CharacterTable::number | CharacterTable::white_space;

std::uint8_t next_class(std::string_view text, std::size_t& position, const CharacterTable& table) {
  return table[next_code_point(text, position)] & classes;
}

// Length of the contraction at text[begin] == '\'', or 0. Lower case only, as the rule has it.
std::size_t contraction_length(std::string_view text, std::size_t begin) {
  const std::string_view rest = text.substr(begin + 1, 2);
  for (const std::string_view ending : {"s", "t", "re", "ve", "m", "ll", "d"}) {
    if (rest.substr(0, ending.size()) == ending) return 1 + ending.size();
  }
  return 0;
}

}  // namespace

std::size_t gpt2_piece_end(std::string_view text, std::size_t begin, const CharacterTable& table) {
  if (text[begin] == '\'') {
    if (const std::size_t length = contraction_length(text, begin)) return begin + length;
  }
  std::size_t end = begin;
  std::uint8_t kind = next_class(text, end, table);
  if (text[begin] == ' ' && end < text.size()) {
    std::size_t after = end;
    const std::uint8_t second = next_class(text, after, table);
    if (second != CharacterTable::white_space) {
      kind = second;
      end = after;
    }
  }
  // [last, end) is the run's last character: white space before a word leaves it to that word.
  std::size_t last = begin;
  while (end < text.size()) {
    std::size_t after = end;
    if (next_class(text, after, table) != kind) {
      return kind == CharacterTable::white_space && last > begin ? last : end;
    }
    last = end;
    end = after;
  }
  return end;
}

}  // namespace lockstep
