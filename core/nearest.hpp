// The known name that a mistyped one most likely meant, for "did you mean".
#pragma once

#include <string>
#include <vector>

namespace lockstep {

// Fewest insertions, deletions, replacements and swaps of neighbours, case ignored; the first of
// equals; "" when none is known.
std::string nearest(const std::string& name, const std::vector<std::string>& known);

}  // namespace lockstep
