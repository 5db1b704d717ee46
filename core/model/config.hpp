// Everything that fixes a model's mathematics. Presets are rows of core/model/presets.
// name_of() gives the words of the command line.
#pragma once

#include <cstdint>
#include <string>

#include "core/dtype.hpp"
#include "core/nn/layer_norm.hpp"
#include "core/ops/activation.hpp"
#include "core/ops/attention.hpp"

namespace lockstep {

enum class Positions { learned, sinusoidal };
enum class Objective { causal, mlm, mlm_nsp };

struct ModelConfig {
  index_t layers = 12, heads = 12, width = 768, ffn_width = 3072;
  index_t head_size = 0;       // 0: width / heads
  index_t vocab_size = 50257;  // real ids: the softmax runs over these
  index_t padded_vocab = 0;    // rows in memory over all tp ranks; set by resolve()
  index_t max_positions = 1024;
  index_t segment_types = 0;  // 2: BERT adds segment embeddings
  NormPlace norm = NormPlace::pre;
  double norm_epsilon = 1e-5;
  Activation activation = Activation::gelu_tanh;
  Positions positions = Positions::learned;
  bool bias = true;             // of linears and norms
  bool embedding_norm = false;  // BERT: LayerNorm after the embeddings
  bool final_norm = true;       // GPT: LayerNorm before the head
  // BERT: dense, activation, LayerNorm before the tied decoder, and a decoder bias.
  bool mlm_transform = false;
  Objective objective = Objective::causal;
  Mask mask = Mask::causal;  // follows the objective: full for mlm
  double dropout = 0.1;      // embeddings and both residual branches
  double attention_dropout = 0.1;
  double init_stddev = 0.02;
  // Projections into the residual: init_stddev / sqrt(2 layers) (GPT-2, nanoGPT).
  bool scaled_residual_init = true;

  // Fills head_size (0 stays 0 when heads do not divide width: validate() says so), mask, and
  // padded_vocab: the least multiple of `multiple` and of tp that holds vocab_size. Throws Error
  // when a size is out of range.
  void resolve(index_t multiple, int tp);
  // Throws Error naming the option, its value and the cure: divisibility, ranges.
  void validate() const;
  // tp divides heads and ffn width, pp <= layers.
  void validate_layout(int tp, int pp) const;
  // At most max_positions.
  void validate_sequence_length(index_t sequence_length) const;
  bool operator==(const ModelConfig&) const = default;
};

const char* name_of(NormPlace);
const char* name_of(Positions);
const char* name_of(Objective);
const char* name_of(Activation);

}  // namespace lockstep
