// ParameterStore of core/model/parameter_table.hpp: one rank's share of the table in two flat
// buffers.
#include <algorithm>
#include <cassert>

#include "core/error.hpp"
#include "core/model/parameter_table.hpp"
#include "core/ops/elementwise.hpp"
#include "core/random.hpp"

namespace lockstep {
namespace {

Shape local_shape(const ParameterRow& row, const Rectangle& rectangle) {
  return row.shape.dims() == 1 ? Shape{rectangle.rows()}
                               : Shape{rectangle.rows(), rectangle.columns()};
}

bool used_by(const ParameterRow& row, const std::vector<StageRange>& ranges) {
  for (const StageRange range : ranges) {
    for (const index_t use : row.uses) {
      if (use >= range.first && use < range.last) return true;
    }
  }
  return false;
}

}  // namespace

ParameterStore::ParameterStore(const ParameterTable& table,
                               StageRange range,
                               int tp_rank,
                               int tp_size,
                               DType dtype,
                               Device device)
    : ParameterStore(table, std::vector<StageRange>{range}, tp_rank, tp_size, dtype, device) {}

ParameterStore::ParameterStore(const ParameterTable& table,
                               const std::vector<StageRange>& ranges,
                               int tp_rank,
                               int tp_size,
                               DType dtype,
                               Device device) {
  index_t count = 0;
  for (const ParameterRow& row : table.rows()) {
    if (!used_by(row, ranges)) continue;
    const Rectangle rectangle = local_rectangle(row, tp_rank, tp_size);
    entries_.push_back({&row, rectangle, count, {}});
    count += rectangle.count();
  }
  values_ = Tensor::zeros({count}, dtype, device);
  gradients_ = Tensor::zeros({count}, dtype, device);
  for (Entry& entry : entries_) {
    const Shape shape = local_shape(*entry.row, entry.rectangle);
    entry.parameter = {values_.range(entry.offset, shape.count()).reshape(shape),
                       gradients_.range(entry.offset, shape.count()).reshape(shape)};
  }
}

bool ParameterStore::has(const std::string& name) const { return get_if(name).defined(); }

Parameter ParameterStore::get(const std::string& name) const {
  const Parameter parameter = get_if(name);
  require(parameter.defined(), "parameter ", name, " is not of this stage");
  return parameter;
}

Parameter ParameterStore::get_if(const std::string& name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.row->name == name; });
  return found == entries_.end() ? Parameter{} : found->parameter;
}

Parameter ParameterStore::fused(const std::vector<std::string>& names) const {
  auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& candidate) {
    return candidate.row->name == names.front();
  });
  if (entry == entries_.end()) return {};
  const index_t offset = entry->offset;
  const Shape first = entry->parameter.value.shape();
  index_t rows = 0;
  for (const std::string& name : names) {
    require(entry != entries_.end() && entry->row->name == name, "parameter ", name,
            " does not lie behind those it is fused with");
    rows += entry->rectangle.rows();
    ++entry;
  }
  const Shape shape = first.with(0, rows);
  return {values_.range(offset, shape.count()).reshape(shape),
          gradients_.range(offset, shape.count()).reshape(shape)};
}

void ParameterStore::initialize(std::uint64_t seed) {
  values_.fill_zero();
  for (Entry& entry : entries_) {
    const ParameterRow& row = *entry.row;
    const Rectangle& local = entry.rectangle;
    const index_t real = std::clamp<index_t>(row.canonical_rows() - local.row0, 0, local.rows());
    Tensor values = entry.parameter.value.reshape({local.rows(), local.columns()}).range(0, real);
    if (row.init.kind == Init::Kind::ones) fill(values, 1);
    if (row.init.kind == Init::Kind::normal) {
      const std::uint64_t key = mix(mix(seed, hash_name("init")), hash_name(row.name));
      fill_normal(values, key, row.init.stddev, local.row0, local.col0, row.canonical_columns());
    }
  }
}

}  // namespace lockstep
