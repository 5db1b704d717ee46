#include "data/batch_ramp.hpp"

#include <algorithm>

namespace lockstep {
namespace {

// Sum of floor(a i / m) over i in [0, n), by Euclid's algorithm (points under a line; Knuth, TAOCP
// 1.2.4, exercise 45).
std::int64_t floor_sum(std::int64_t n, std::int64_t m, std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  sum += (n - 1) * n / 2 * (a / m) + n * (b / m);
  a %= m;
  b %= m;
  const std::int64_t highest = a * n + b;
  if (highest >= m) sum += floor_sum(highest / m, a, m, highest % m);
  return sum;
}

}  // namespace

index_t BatchRamp::size_at(std::int64_t step) const {
  if (step > steps) return full;
  return start * (1 + (full / start - 1) * (step - 1) / steps);
}

index_t BatchRamp::before(std::int64_t step) const {
  const std::int64_t ramped = std::min(step - 1, steps), later = step - 1 - ramped;
  if (ramped == 0) return later * full;
  return start * (ramped + floor_sum(ramped, steps, full / start - 1, 0)) + later * full;
}

}  // namespace lockstep
