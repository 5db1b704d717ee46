// A gold file: weights, batches, losses, gradients and AdamW steps of a small GPT-2 or BERT,
// computed by PyTorch in double. Layout (docs/verification.md): /batch, /weights, /grads,
// /weights_after by Hugging Face names; GPT-2's Conv1D matrices are (in, out).
#pragma once

#include <string>
#include <vector>

#include "core/model/batch.hpp"
#include "core/model/config.hpp"
#include "core/model/parameter_table.hpp"
#include "core/optim/adamw.hpp"

namespace lockstep::test {

// One canonical parameter inside a gold tensor: its rows are rows [first, first + n) of the tensor
// (columns, when transposed).
struct GoldPart {
  std::string canonical;
  index_t first = 0;
};

struct GoldTensor {
  std::string name;  // in the file
  std::vector<index_t> shape;
  bool transposed = false;      // stored (in, out)
  std::vector<GoldPart> parts;  // one, or query, key, value
  bool key_bias = false;        // its true gradient is 0: both sides hold rounding noise

  // Flat index in the file of element (row, column) of part `part`.
  index_t index(const GoldPart& part, index_t row, index_t column) const;
};

class GoldFile {
 public:
  explicit GoldFile(const std::string& path);

  const ModelConfig& model() const { return model_; }
  const std::vector<GoldTensor>& tensors() const { return tensors_; }
  const std::vector<double>& losses() const { return losses_; }
  const std::vector<double>& gradient_norms() const { return norms_; }
  const std::vector<double>& learning_rates() const { return rates_; }
  AdamWConfig optimizer() const { return optimizer_; }
  double clip_norm() const { return clip_norm_; }
  int num_steps() const { return static_cast<int>(losses_.size()); }
  index_t B() const { return B_; }
  index_t T() const { return T_; }

  std::vector<double> values(const std::string& group, const GoldTensor& tensor)
      const;  // "weights", "grads", "weights_after"
  // Sequences [first, first + count) of a step (0-based).
  Batch batch(int step, index_t first, index_t count) const;

 private:
  std::string path_;
  ModelConfig model_;
  AdamWConfig optimizer_;
  double clip_norm_ = 0;
  index_t B_ = 0, T_ = 0;
  std::vector<GoldTensor> tensors_;
  std::vector<double> losses_, norms_, rates_;
  std::vector<std::int32_t> ids_, targets_, segments_, lengths_, labels_;
};

}  // namespace lockstep::test
