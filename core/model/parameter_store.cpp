// ParameterStore of core/model/parameter_table.hpp: one rank's share of the table in two flat
// buffers.
#include <algorithm>
#include <cassert>

#include "core/error.hpp"
#include "core/group.hpp"
#include "core/model/parameter_table.hpp"
#include "core/ops/bf16.hpp"
#include "core/ops/elementwise.hpp"
#include "core/random.hpp"

namespace lockstep {
namespace {

Shape local_shape(const ParameterRow& row, const Rectangle& rectangle) {
  return row.shape.dims() == 1 ? Shape{rectangle.rows()}
                               : Shape{rectangle.rows(), rectangle.columns()};
}

bool holds(const StageRange& range, index_t position) {
  return position >= range.first && position < range.last;
}

// The uses of a parameter on this rank's stages, in model order.
std::vector<index_t> uses_in(const ParameterRow& row, const std::vector<StageRange>& ranges) {
  std::vector<index_t> uses;
  for (const index_t use : row.uses) {
    if (std::any_of(ranges.begin(), ranges.end(),
                    [&](const StageRange& range) { return holds(range, use); })) {
      uses.push_back(use);
    }
  }
  return uses;
}

}  // namespace

ParameterStore::ParameterStore(const ParameterTable& table,
                               StageRange range,
                               int tp_rank,
                               int tp_size,
                               DType precision,
                               Device device,
                               bool separate_uses)
    : ParameterStore(table,
                     std::vector<StageRange>{range},
                     tp_rank,
                     tp_size,
                     precision,
                     device,
                     separate_uses) {}

ParameterStore::ParameterStore(const ParameterTable& table,
                               const std::vector<StageRange>& ranges,
                               int tp_rank,
                               int tp_size,
                               DType precision,
                               Device device,
                               bool separate_uses) {
  index_t count = 0;
  for (const ParameterRow& row : table.rows()) {
    if (uses_in(row, ranges).empty()) continue;
    const Rectangle rectangle = local_rectangle(row, tp_rank, tp_size);
    entries_.push_back({&row, rectangle, count, {}});
    count += rectangle.count();
  }
  const auto has_second_use = [&](const Entry& entry) {
    return separate_uses && uses_in(*entry.row, ranges).size() > 1;
  };
  index_t second_uses = 0;
  for (const Entry& entry : entries_) {
    assert(entry.row->uses.size() <= 2);
    if (has_second_use(entry)) second_uses += entry.rectangle.count();
  }
  const DType dtype = value_type(precision);
  values_ = Tensor::zeros({count}, dtype, device);
  if (precision != dtype) rounded_ = Tensor::zeros({count}, precision, device);
  gradients_by_use_ = Tensor::zeros({count + second_uses}, dtype, device);
  gradients_ = gradients_by_use_.range(0, count);
  for (Entry& entry : entries_) {
    const Shape shape = local_shape(*entry.row, entry.rectangle);
    entry.parameter = parameter_at(entry.offset, shape);
    if (!has_second_use(entry)) continue;
    second_uses_.push_back({entry.row->name, entry.row->uses.back(),
                            gradients_by_use_.range(count, shape.count()).reshape(shape)});
    count += shape.count();
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

Parameter ParameterStore::get_use(const std::string& name, index_t position) const {
  Parameter parameter = get(name);
  for (const SecondUse& use : second_uses_) {
    if (use.name == name && use.position == position) parameter.gradient = use.gradient;
  }
  return parameter;
}

std::vector<Tensor> ParameterStore::gradients_of(StageRange range) const {
  const auto is_second = [this](const Entry& entry, index_t use) {
    return std::any_of(second_uses_.begin(), second_uses_.end(), [&](const SecondUse& second) {
      return second.name == entry.row->name && second.position == use;
    });
  };
  std::vector<Span> spans;  // neighbours joined
  for (const Entry& entry : entries_) {
    const std::vector<index_t>& uses = entry.row->uses;
    const bool adds = std::any_of(uses.begin(), uses.end(), [&](index_t use) {
      return holds(range, use) && !is_second(entry, use);
    });
    if (!adds) continue;
    if (!spans.empty() && spans.back().first + spans.back().count == entry.offset) {
      spans.back().count += entry.rectangle.count();
    } else {
      spans.push_back({entry.offset, entry.rectangle.count()});
    }
  }
  std::vector<Tensor> parts;
  for (const Span& span : spans) parts.push_back(gradients_.range(span.first, span.count));
  for (const SecondUse& use : second_uses_) {
    if (holds(range, use.position)) parts.push_back(use.gradient.reshape({use.gradient.count()}));
  }
  return parts;
}

void ParameterStore::join_uses() {
  for (const SecondUse& use : second_uses_) {
    Tensor gradient = get(use.name).gradient;
    add(gradient, gradient, use.gradient);
  }
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
  return parameter_at(offset, shape);
}

Parameter ParameterStore::parameter_at(index_t offset, Shape shape) const {
  const auto part = [&](const Tensor& flat) {
    return flat.defined() ? flat.range(offset, shape.count()).reshape(shape) : Tensor{};
  };
  return {part(values_), part(gradients_), part(rounded_)};
}

void ParameterStore::keep_packed() { packed_ = PackedWeights(rounded_); }

void ParameterStore::round_values() {
  if (!rounded_.defined()) return;
  round_to_bf16(rounded_, values_);
  packed_.changed();
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
  round_values();
}

}  // namespace lockstep
