// How often each word occurs, with look-ups by string_view.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace lockstep {

struct HashText {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>{}(text);
  }
};

using WordCounts = std::unordered_map<std::string, std::uint64_t, HashText, std::equal_to<>>;

inline void count_word(WordCounts& counts, std::string_view word) {
  if (const auto found = counts.find(word); found != counts.end()) {
    ++found->second;
  } else {
    counts.emplace(word, 1);
  }
}

}  // namespace lockstep
