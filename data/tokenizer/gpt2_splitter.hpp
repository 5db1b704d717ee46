// GPT-2's pre-tokenizer by hand:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Pieces cover the text without gaps, so that bytes survive; malformed UTF-8 counts as neither
// letter, number nor space.
#pragma once

#include <cstddef>
#include <string_view>

#include "data/tokenizer/character_table.hpp"

namespace lockstep {

// The end of the piece that begins at `begin` < text.size().
std::size_t gpt2_piece_end(std::string_view text, std::size_t begin, const CharacterTable& table);

}  // namespace lockstep
