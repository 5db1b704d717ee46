// Checks of options against each other, that more than one reader makes; the rest are declared in
// launch/options.hpp beside what they check.
#pragma once

#include <string>

#include "core/dtype.hpp"
#include "launch/option_values.hpp"

namespace lockstep {

// Throws when the option was given and has no effect; cure: " has no effect " + cure.
void require_effect(const OptionValues& values,
                    const char* name,
                    bool effect,
                    const std::string& cure);
// Throws unless the global batch is a whole number of microbatches on each data-parallel rank.
void check_batch(const OptionValues& values, index_t global, index_t micro, int dp);

}  // namespace lockstep
