// Examples to a Batch: rows of T tokens, padded; targets of all rows in one ascending list.
#pragma once

#include <vector>

#include "core/model/batch.hpp"
#include "core/model/config.hpp"
#include "data/objective/example.hpp"

namespace lockstep {

Batch collate(const std::vector<Example>& examples,
              index_t T,
              std::int32_t pad_id,
              Objective objective);

}  // namespace lockstep
