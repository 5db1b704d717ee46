#include "data/tokenizer/ids.hpp"

#include <algorithm>
#include <vector>

#include "core/error.hpp"

namespace lockstep {
namespace {

std::vector<std::int32_t> sorted_ids(const SpecialIds& specials) {
  std::vector<std::int32_t> ids;
  for (const auto& id :
       {specials.eod, specials.pad, specials.unknown, specials.cls, specials.sep, specials.mask}) {
    if (id) ids.push_back(*id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace

void check_id(std::int32_t id, index_t vocab_size) {
  require(id >= 0 && id < vocab_size, "token id ", id,
          " is outside of the vocabulary: ids are 0 to ", vocab_size - 1);
}

bool is_special(const SpecialIds& specials, std::int32_t id) {
  const auto ids = sorted_ids(specials);
  return std::binary_search(ids.begin(), ids.end(), id);
}

std::pair<std::int32_t, std::int32_t> ordinary_ids(const SpecialIds& specials, index_t vocab_size) {
  std::pair<std::int32_t, std::int32_t> best{0, 0};
  std::int32_t first = 0;
  const auto close = [&](std::int32_t last) {
    if (last - first > best.second - best.first) best = {first, last};
    first = last + 1;
  };
  for (const std::int32_t id : sorted_ids(specials)) close(id);
  close(static_cast<std::int32_t>(vocab_size));
  return best;
}

}  // namespace lockstep
