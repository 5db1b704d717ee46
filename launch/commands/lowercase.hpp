// --lowercase of `corpus build` and `tokenizer encode`.
#pragma once

#include <string>

#include "data/tokenizer/tokenizer.hpp"

namespace lockstep {

inline Lowercase lowercase_named(const std::string& name) {
  return name == "yes" ? Lowercase::yes : name == "no" ? Lowercase::no : Lowercase::automatic;
}

}  // namespace lockstep
