#include "parallel/mpi/traffic.hpp"

#include <algorithm>

namespace lockstep {

void add_traffic(std::vector<TrafficRow>& rows, const TrafficRow& row) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const TrafficRow& other) {
    return other.what == row.what && other.operation == row.operation && other.axis == row.axis;
  });
  if (found == rows.end()) {
    rows.push_back(row);
    return;
  }
  found->messages += row.messages;
  found->elements += row.elements;
  found->bytes += row.bytes;
}

void Traffic::count(const std::string& axis,
                    const char* what,
                    const char* operation,
                    index_t elements,
                    DType dtype) {
  const auto bytes = elements * static_cast<index_t>(size_of(dtype));
  add_traffic(rows_, {axis, what, operation, 1, elements, bytes});
}

}  // namespace lockstep
