#include "core/ops/sum_order.hpp"

#include <bit>
#include <cassert>

namespace lockstep {

SumOrder SumOrder::chain(index_t n) { return between({0, n}); }

SumOrder SumOrder::shards(index_t n, index_t chains, index_t parts) {
  assert(std::has_single_bit(static_cast<std::uint64_t>(chains)) && chains <= most_chains);
  assert(parts >= 1 && n % (chains * parts) == 0);
  SumOrder order;
  order.num_chains_ = chains;
  const index_t run = n / (chains * parts);
  for (index_t s = 0; s < chains; ++s) {
    for (index_t part = 0; part < parts; ++part) {
      order.ranges_.push_back({part * (n / parts) + s * run, run, part == parts - 1});
    }
  }
  return order;
}

SumOrder SumOrder::between(const std::vector<index_t>& bounds) {
  assert(bounds.size() >= 2 && bounds.size() - 1 <= std::size_t{most_chains});
  assert(std::has_single_bit(bounds.size() - 1));
  SumOrder order;
  order.num_chains_ = static_cast<index_t>(bounds.size()) - 1;
  for (std::size_t s = 0; s + 1 < bounds.size(); ++s) {
    assert(bounds[s] <= bounds[s + 1]);
    order.ranges_.push_back({bounds[s], bounds[s + 1] - bounds[s], true});
  }
  return order;
}

index_t SumOrder::count() const {
  index_t count = 0;
  for (const SumRange& range : ranges_) count += range.count;
  return count;
}

}  // namespace lockstep
