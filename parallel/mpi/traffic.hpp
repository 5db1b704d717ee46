// What the groups of a process sent, per (axis, what, operation). A collective is counted once, by
// rank 0 of its group, with what all members together must put on the wire; a send is counted by
// its sender. So the sums over all ranks are exact integers: N elements (the whole) over n ranks:
// all_reduce 2(n-1)N; reduce_scatter, all_gather, broadcast, all_to_all (n-1)N; send N.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.hpp"

namespace lockstep {

struct TrafficRow {
  std::string axis;       // "tp", "pp", "dp", "model", "world"
  std::string what;       // the purpose given by the caller: "layer", "gradient", ...
  std::string operation;  // "all_reduce", "send", ...
  std::int64_t messages = 0, elements = 0, bytes = 0;
};

// Adds `row` to the row of the same axis, what and operation, or appends it.
void add_traffic(std::vector<TrafficRow>& rows, const TrafficRow& row);

// One process' rows, in order of first appearance.
class Traffic {
 public:
  void count(const std::string& axis,
             const char* what,
             const char* operation,
             index_t elements,
             DType dtype);
  const std::vector<TrafficRow>& rows() const { return rows_; }
  void reset() { rows_.clear(); }

 private:
  std::vector<TrafficRow> rows_;
};

}  // namespace lockstep
