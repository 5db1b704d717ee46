#include "core/model/parameter_table.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "core/error.hpp"
#include "core/group.hpp"

namespace lockstep {
namespace {

// Collects the rows of a config, in the order of the header's list.
class RowList {
 public:
  RowList(const ModelConfig& config, bool sequence_parallel)
      : config_(config),
        sharded_{sequence_parallel ? Cut::Kind::partial : Cut::Kind::replicated, 0} {
    embeddings();
    for (index_t layer = 0; layer < config.layers; ++layer) block(layer);
    head();
  }
  std::vector<ParameterRow> take() { return std::move(rows_); }

 private:
  static constexpr Cut whole{Cut::Kind::replicated, 0};
  static constexpr Cut by_rows{Cut::Kind::dim, 0};
  static constexpr Cut by_columns{Cut::Kind::dim, 1};

  index_t head_position() const { return config_.layers + 1; }
  index_t padded_vocab() const { return std::max(config_.padded_vocab, config_.vocab_size); }

  ParameterRow& add(std::string name, Shape shape, Cut cut, Init init, std::vector<index_t> uses) {
    rows_.push_back(
        {std::move(name), shape, shape[0], cut, init, shape.dims() == 2, std::move(uses)});
    return rows_.back();
  }
  ParameterRow& matrix(const std::string& name,
                       Shape shape,
                       Cut cut,
                       std::vector<index_t> uses,
                       double scale = 1) {
    return add(name, shape, cut, {Init::Kind::normal, config_.init_stddev * scale},
               std::move(uses));
  }
  void bias(const std::string& name, index_t count, Cut cut, index_t use) {
    if (config_.bias) add(name, {count}, cut, {Init::Kind::zeros, 0}, {use});
  }
  void norm(const std::string& name, Cut cut, index_t use) {
    add(name + ".weight", {config_.width}, cut, {Init::Kind::ones, 0}, {use});
    bias(name + ".bias", config_.width, cut, use);
  }

  void embeddings() {
    const index_t C = config_.width;
    matrix("embeddings.token.weight", {config_.vocab_size, C}, by_rows, {0, head_position()})
        .padded_rows = padded_vocab();
    if (config_.positions == Positions::learned) {
      matrix("embeddings.position.weight", {config_.max_positions, C}, whole, {0});
    }
    if (config_.segment_types > 0) {
      matrix("embeddings.segment.weight", {config_.segment_types, C}, whole, {0});
    }
    if (config_.embedding_norm) norm("embeddings.norm", sharded_, 0);
  }

  void block(index_t layer) {
    const index_t C = config_.width, F = config_.ffn_width, use = layer + 1;
    const index_t head_size = config_.head_size == 0 ? C / config_.heads : config_.head_size;
    const index_t A = config_.heads * head_size;  // C but for models of another head size
    // Projections into the residual stream, which sums 2 L of them (Radford et al. 2019).
    const double into_residual =
        config_.scaled_residual_init ? 1 / std::sqrt(2.0 * static_cast<double>(config_.layers)) : 1;
    const std::string prefix = build_string("layers.", layer, ".");
    const char* const parts[] = {"query", "key", "value"};
    for (const char* part : parts) {
      matrix(build_string(prefix, "attention.", part, ".weight"), {A, C}, by_rows, {use});
    }
    for (const char* part : parts)
      bias(build_string(prefix, "attention.", part, ".bias"), A, by_rows, use);
    matrix(prefix + "attention.output.weight", {C, A}, by_columns, {use}, into_residual);
    bias(prefix + "attention.output.bias", C, whole, use);
    norm(prefix + "attention_norm", sharded_, use);
    matrix(prefix + "ffn.input.weight", {F, C}, by_rows, {use});
    bias(prefix + "ffn.input.bias", F, by_rows, use);
    matrix(prefix + "ffn.output.weight", {C, F}, by_columns, {use}, into_residual);
    bias(prefix + "ffn.output.bias", C, whole, use);
    norm(prefix + "ffn_norm", sharded_, use);
  }

  void head() {
    const index_t C = config_.width, use = head_position();
    // The MLM transform's norm alone sees all rows on every rank.
    if (config_.final_norm || config_.mlm_transform)
      norm("head.norm", config_.final_norm ? sharded_ : whole, use);
    if (config_.mlm_transform) {
      matrix("head.transform.weight", {C, C}, whole, {use});
      bias("head.transform.bias", C, whole, use);
      bias("head.decoder.bias", config_.vocab_size, by_rows, use);
      if (config_.bias) rows_.back().padded_rows = padded_vocab();
    }
    if (config_.objective == Objective::mlm_nsp) {
      matrix("pooler.weight", {C, C}, whole, {use});
      bias("pooler.bias", C, whole, use);
      matrix("nsp.weight", {2, C}, whole, {use});
      bias("nsp.bias", 2, whole, use);
    }
  }

  const ModelConfig& config_;
  Cut sharded_;  // of what works on shards of the rows
  std::vector<ParameterRow> rows_;
};

}  // namespace

Rectangle local_rectangle(const ParameterRow& row, int rank, int size) {
  Rectangle all{0, row.padded_rows, 0, row.canonical_columns()};
  if (row.cut.kind != Cut::Kind::dim) return all;
  const index_t extent = row.cut.dim == 0 ? all.row1 : all.col1;
  require(extent % size == 0, "--tp ", size, " must divide dimension ", row.cut.dim, " of ",
          row.name, ", ", extent);
  const Span span = span_of(extent, rank, size);
  if (row.cut.dim == 0) {
    all.row0 = span.first;
    all.row1 = span.first + span.count;
  } else {
    all.col0 = span.first;
    all.col1 = span.first + span.count;
  }
  return all;
}

ParameterTable::ParameterTable(const ModelConfig& config, bool sequence_parallel)
    : rows_(RowList(config, sequence_parallel).take()) {}

const ParameterRow& ParameterTable::row(const std::string& name) const {
  const auto found = std::find_if(rows_.begin(), rows_.end(),
                                  [&](const ParameterRow& row) { return row.name == name; });
  require(found != rows_.end(), "this model has no parameter ", name);
  return *found;
}

index_t ParameterTable::count() const {
  index_t count = 0;
  for (const ParameterRow& row : rows_) count += row.shape.count();
  return count;
}

}  // namespace lockstep
