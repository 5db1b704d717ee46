// Small rules about ids that every tokenizer follows.
#pragma once

#include <cstdint>
#include <utility>

#include "data/tokenizer/tokenizer.hpp"

namespace lockstep {

// The `id` a user handed to decode(): Error (refused) unless it is one of the vocabulary.
void check_id(std::int32_t id, index_t vocab_size);
bool is_special(const SpecialIds& specials, std::int32_t id);
// The longest run of ids without a special one, [first, last); the first of equally long ones.
std::pair<std::int32_t, std::int32_t> ordinary_ids(const SpecialIds& specials, index_t vocab_size);

}  // namespace lockstep
