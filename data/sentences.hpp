// Where sentences begin. A sentence ends at [.!?] and closing quotes or brackets before white space
// and a plausible start (capital, digit, opening quote or bracket, any letter without case), not
// after an abbreviation or an initial; at a CJK full stop; at a line end. The pieces joined are the
// text: white space between two sentences opens the second.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace lockstep {

// Ascending byte offsets, the first is 0; empty for an empty text. Every piece holds more than
// white space, if the text does.
std::vector<std::size_t> sentence_starts(std::string_view text);

constexpr const char* sentence_rule_name = "punctuation-1";

}  // namespace lockstep
