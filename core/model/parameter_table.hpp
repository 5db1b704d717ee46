// One row per canonical parameter: what init, sharding, checkpoints, hashes, counts and the
// optimizer read. A canonical matrix is (out, in); q, k and v are rows of their own, adjacent, so
// that a rank's slices form one fused matrix.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/config.hpp"
#include "core/model/plan.hpp"
#include "core/ops/packed_weights.hpp"
#include "core/parameter.hpp"

namespace lockstep {

struct Cut {
  enum class Kind {
    dim,         // cut over tp along `dim`
    replicated,  // whole on every tp rank, with the same gradient there
    partial      // whole on every tp rank, its gradient summed over tp
  };
  Kind kind = Kind::replicated;
  int dim = 0;
};

struct Init {
  enum class Kind { normal, zeros, ones };
  Kind kind = Kind::zeros;
  double stddev = 0;
};

struct ParameterRow {
  std::string name;
  Shape shape;              // canonical, without padding
  index_t padded_rows = 0;  // rows in memory over all tp ranks (shape[0] but for the vocabulary)
  Cut cut;
  Init init;
  bool decay = false;         // weight decay: matrices and embeddings, not biases and norms
  std::vector<index_t> uses;  // plan positions that read it: two for the tied embedding

  index_t canonical_rows() const { return shape[0]; }
  index_t canonical_columns() const { return shape.count() / shape[0]; }
};

// A rectangle of a canonical parameter seen as a matrix (rows, columns); a vector is (n, 1).
struct Rectangle {
  index_t row0 = 0, row1 = 0, col0 = 0, col1 = 0;
  index_t rows() const { return row1 - row0; }
  index_t columns() const { return col1 - col0; }
  index_t count() const { return rows() * columns(); }
  bool operator==(const Rectangle&) const = default;
};

// What tp rank `rank` of `size` holds in memory; rows at or past canonical_rows() are padding.
Rectangle local_rectangle(const ParameterRow& row, int rank, int size);

// Canonical names, in table order (i: layer; C width, F ffn width, V vocabulary, P positions):
//   embeddings.token.weight (V, C), also the decoder of the head
//   embeddings.position.weight (P, C)                learned positions
//   embeddings.segment.weight (2, C)                 BERT
//   embeddings.norm.{weight, bias}                   BERT
//   layers.i.attention.{query, key, value}.weight (C, C), then their .bias (C)
//   layers.i.attention.output.{weight (C, C), bias}
//   layers.i.attention_norm.{weight, bias}           pre: before the branch; post: after the sum
//   layers.i.ffn.input.{weight (F, C), bias}
//   layers.i.ffn.output.{weight (C, F), bias}
//   layers.i.ffn_norm.{weight, bias}
//   head.norm.{weight, bias}                         the final norm, or the MLM transform's
//   head.transform.{weight (C, C), bias}             MLM transform
//   head.decoder.bias (V)                            MLM transform
//   pooler.{weight (C, C), bias}, nsp.{weight (2, C), bias}
class ParameterTable {
 public:
  // sequence_parallel: norms see shards of the rows, their gradients are `partial`.
  explicit ParameterTable(const ModelConfig& config, bool sequence_parallel = false);

  const std::vector<ParameterRow>& rows() const { return rows_; }
  const ParameterRow& row(const std::string& name) const;  // throws Error when there is none
  index_t count() const;  // elements over all canonical parameters, tied ones once, without padding

 private:
  std::vector<ParameterRow> rows_;
};

// One rank's parameters: those used by the plan positions of its stages, in table order, each once,
// in one flat buffer of values and one of gradients, without gaps; in bf16 precision one more of
// the values as products read them.
class ParameterStore {
 public:
  struct Entry {
    const ParameterRow* row = nullptr;
    Rectangle rectangle;  // of the padded canonical matrix
    index_t offset = 0;   // elements, in the flat buffers
    Parameter parameter;  // local shape
  };

  // The table must outlive the store.
  // separate_uses: a parameter used twice on this rank gets a gradient of its own for its second
  // use, so that each use's sum has the order it has when the uses are on different ranks.
  ParameterStore(const ParameterTable& table,
                 const std::vector<StageRange>& ranges,
                 int tp_rank,
                 int tp_size,
                 DType precision,
                 Device device,
                 bool separate_uses = false);
  ParameterStore(const ParameterTable& table,
                 StageRange range,
                 int tp_rank,
                 int tp_size,
                 DType precision,
                 Device device,
                 bool separate_uses = false);

  bool has(const std::string& name) const;
  Parameter get(const std::string& name) const;     // throws Error when it is not of this stage
  Parameter get_if(const std::string& name) const;  // undefined when the model lacks it
  // With the gradient of the use at this plan position.
  Parameter get_use(const std::string& name, index_t position) const;
  // Adjacent parameters (q, k, v) as one, cut along dimension 0; undefined when the first is
  // lacking.
  Parameter fused(const std::vector<std::string>& names) const;
  const std::vector<Entry>& entries() const { return entries_; }
  Tensor values() const { return values_; }        // flat, value_type(precision)
  Tensor rounded() const { return rounded_; }      // flat; undefined when products read values
  Tensor gradients() const { return gradients_; }  // flat
  // The gradients and behind them those of second uses: flat.
  Tensor gradients_by_use() const { return gradients_by_use_; }
  // What the stage `range` of this rank adds to, as flat parts of gradients_by_use().
  std::vector<Tensor> gradients_of(StageRange range) const;
  void join_uses();  // adds second uses to the gradients
  index_t count() const { return values_.count(); }

  // bf16 products on the CPU keep a second and third copy of the weights, in orders of their own,
  // until values change: for several microbatches between changes.
  void keep_packed();
  // After every change of values().
  void round_values();
  // By name and global index: the same weights for every cut. Padding rows are 0.
  void initialize(std::uint64_t seed);

 private:
  struct SecondUse {
    std::string name;
    index_t position = 0;
    Tensor gradient;
  };

  Parameter parameter_at(index_t offset, Shape shape) const;

  std::vector<Entry> entries_;
  std::vector<SecondUse> second_uses_;
  Tensor values_, rounded_, gradients_, gradients_by_use_;
  PackedWeights packed_;  // of rounded_, when asked for
};

}  // namespace lockstep
