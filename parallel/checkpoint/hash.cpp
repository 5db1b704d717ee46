// SHA-256 of the weights. World rank 0 hashes one parameter after the other, by name; the ranks of
// data-parallel rank 0 that hold a part of it send theirs. Memory: two copies of the largest
// parameter on rank 0, none elsewhere.
#include <algorithm>
#include <cstring>

#include "core/checksum.hpp"
#include "core/error.hpp"
#include "parallel/checkpoint/checkpoint.hpp"
#include "parallel/tensor/shard_plan.hpp"

namespace lockstep {
namespace {

constexpr char what[] = "hash";

// What tp rank `tp_rank` brings, without padding; empty for all but the first when each holds the
// whole.
Rectangle part_of(const ParameterRow& row, int tp_rank, int tp) {
  if (row.cut.kind != Cut::Kind::dim && tp_rank != 0) return {};
  const Rectangle whole{
      .row0 = 0, .row1 = row.canonical_rows(), .col0 = 0, .col1 = row.canonical_columns()};
  return intersection(local_rectangle(row, tp_rank, tp), whole);
}

// This rank's part of the parameter as it lies in its buffer: rows at the end that are padding are
// left out.
Tensor local_part(const ParameterRow& row, const Rectangle& part, const ParameterStore& store) {
  const auto entry =
      std::find_if(store.entries().begin(), store.entries().end(),
                   [&](const ParameterStore::Entry& e) { return e.row->name == row.name; });
  if (entry == store.entries().end())
    fail("parameter ", row.name, " is not on the rank that should hold it");
  return store.values().range(entry->offset, part.count()).to(Device{});
}

void copy_part(const Tensor& part, const Rectangle& rectangle, Tensor& whole) {
  const std::size_t size = size_of(whole.dtype());
  const auto* from = static_cast<const std::byte*>(part.raw());
  auto* to = static_cast<std::byte*>(whole.raw());
  const std::size_t row_bytes = static_cast<std::size_t>(rectangle.columns()) * size;
  for (index_t row = 0; row < rectangle.rows(); ++row) {
    const index_t element = (rectangle.row0 + row) * whole.columns() + rectangle.col0;
    std::memcpy(to + static_cast<std::size_t>(element) * size,
                from + static_cast<std::size_t>(row) * row_bytes, row_bytes);
  }
}

}  // namespace

std::string weights_sha256(const Topology& topology,
                           const ParameterTable& table,
                           const StageMap& stages,
                           const ParameterStore& store) {
  std::vector<const ParameterRow*> rows;
  for (const ParameterRow& row : table.rows()) rows.push_back(&row);
  std::sort(rows.begin(), rows.end(),
            [](const ParameterRow* a, const ParameterRow* b) { return a->name < b->name; });
  Group& world = topology.world();
  const bool root = world.rank() == 0;
  const int tp = topology.degrees().tp;
  Sha256 sha;
  for (const ParameterRow* row : rows) {
    const std::vector<int> users = stages.ranks_with(row->uses);
    if (users.empty()) fail("parameter ", row->name, " is of no pipeline stage");
    Tensor whole;
    if (root)
      whole =
          Tensor::empty({row->canonical_rows(), row->canonical_columns()}, store.values().dtype());
    for (int tp_rank = 0; tp_rank < tp; ++tp_rank) {
      const Rectangle rectangle = part_of(*row, tp_rank, tp);
      if (rectangle.count() == 0) continue;  // all rows of this rank are padding
      const int holder = topology.world_rank(0, users.front(), 0, tp_rank);
      Tensor part;
      if (world.rank() == holder) part = local_part(*row, rectangle, store);
      if (root && holder != 0) {
        part = Tensor::empty({rectangle.count()}, store.values().dtype());
        world.receive(part, holder, 0, what);
      }
      if (!root && world.rank() == holder) world.send(part, 0, 0, what);
      if (root) copy_part(part, rectangle, whole);
    }
    if (root) {
      sha.update(row->name.c_str(), row->name.size() + 1);  // with its zero byte
      sha.update(whole.raw(), whole.bytes());
    }
  }
  return root ? sha.hex() : std::string();
}

}  // namespace lockstep
