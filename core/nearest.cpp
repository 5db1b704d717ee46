#include "core/nearest.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace lockstep {
namespace {

// A hostile name of megabytes must not cost a quadratic table: no known name is as long as this.
constexpr std::size_t longest_name = 256;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Optimal string alignment: each letter takes part in one edit only.
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                           lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

std::string nearest(const std::string& name, const std::vector<std::string>& known) {
  const std::string_view typed = std::string_view(name).substr(0, longest_name);
  const std::string* best = nullptr;
  std::size_t fewest = 0;
  for (const std::string& candidate : known) {
    const std::size_t count = edits(typed, candidate);
    if (best == nullptr || count < fewest) {
      best = &candidate;
      fewest = count;
    }
  }
  return best == nullptr ? "" : *best;
}

}  // namespace lockstep
