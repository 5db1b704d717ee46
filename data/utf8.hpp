// UTF-8 without surprises: malformed bytes become U+FFFD, one per maximal ill-formed prefix
// (Unicode 15, section 3.9).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lockstep {

// The code point at text[position]; position moves past it.
char32_t next_code_point(std::string_view text, std::size_t& position);
void append_utf8(std::string& text, char32_t code_point);

}  // namespace lockstep
