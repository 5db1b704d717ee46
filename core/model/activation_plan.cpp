#include "core/model/activation_plan.hpp"

#include <algorithm>

#include "core/nn/losses.hpp"

namespace lockstep {
namespace {

// Elements of the model's type, those kept for products alone, and bytes of other types.
struct Kept {
  index_t elements = 0, operands = 0, bytes = 0;

  Kept operator+(const Kept& other) const {
    return {elements + other.elements, operands + other.operands, bytes + other.bytes};
  }
};

struct Passes {
  Kept forward, backward;

  Passes operator+(const Passes& other) const {
    return {forward + other.forward, backward + other.backward};
  }
};

// Sizes of one rank. N tokens, n of them outside the products that tp cuts.
struct Sizes {
  index_t C, A_local, F_local, NH_local, V_local, N, n;
};

Sizes sizes_of(const ModelConfig& config,
               const ActivationSetup& setup,
               const MicrobatchSize& size) {
  const index_t N = size.rows;
  return {config.width,
          config.heads * config.head_size / setup.tp,
          config.ffn_width / setup.tp,
          config.heads / setup.tp,
          config.padded_vocab / setup.tp,
          N,
          setup.sequence_parallel ? N / setup.tp : N};
}

// Input, mean and 1 / deviation of `rows` rows; with its output's gradient after B.
Passes norm(index_t rows, index_t C) { return {{rows * (C + 2)}, {rows * (2 * C + 2)}}; }

// Largest logit, sum of exponentials and target logit of each row, in double.
Passes statistics(index_t rows) { return {{0, 0, 24 * rows}, {0, 0, 24 * rows}}; }

// What a product and something else read is one tensor, but for a rounded copy.
index_t copied(const ActivationSetup& setup, index_t elements) {
  return setup.precision == DType::bf16 ? elements : 0;
}

Passes block(const Sizes& s, const ActivationSetup& setup) {
  Passes kept = norm(s.n, s.C) + norm(s.n, s.C);
  const index_t core = s.N * (s.A_local + s.NH_local);  // attention's output, log of its sums
  // q, k, v; hidden before the activation. Inputs of qkv and ffn, hidden after the activation.
  kept.forward.elements += s.N * (3 * s.A_local + s.F_local);
  kept.forward.operands += 2 * s.n * s.C + s.N * s.F_local;
  if (setup.recompute != Recompute::selective) {
    const index_t output = s.N * s.A_local;
    kept.forward.elements += core;
    kept.forward.operands += setup.exchanges_heads ? output : copied(setup, output);
  }
  // The same inputs, attention's output, the activation; the gradient of each product's output.
  kept.backward.operands +=
      2 * s.n * s.C + s.N * (s.A_local + s.F_local) + s.N * (2 * s.C + 3 * s.A_local + s.F_local);
  if (setup.recompute == Recompute::full) kept.forward = {s.n * s.C};
  return kept;
}

Passes front(const ModelConfig& config, const Sizes& s) {
  Passes kept{{0, 0, 4 * s.N}, {s.n * s.C, 0, 4 * s.N}};  // position ids; the sum's gradient
  if (config.embedding_norm) kept = kept + norm(s.n, s.C);
  return kept;
}

// Picked rows: input, its gradient (made forward), dlogits when the rows are one chunk.
Passes language_model(const ModelConfig& config,
                      const Sizes& s,
                      const ActivationSetup& setup,
                      index_t rows) {
  const bool one_chunk = setup.whole_logits || rows <= VocabularyLoss::default_chunk_rows;
  const index_t logits = one_chunk ? rows * s.V_local : 0;
  Passes kept = statistics(rows);
  kept.forward = kept.forward + Kept{rows * s.C, rows * s.C + logits};
  kept.backward.operands += rows * s.C + logits;
  if (!config.mlm_transform) return kept;
  // Hidden and input; input and output gradient.
  return kept + norm(rows, s.C) + Passes{{rows * s.C, rows * s.C}, {0, 2 * rows * s.C}};
}

// Row numbers, pooled, logits, first tokens; the gradients of the pooler's and classifier's outputs
// after B.
Passes next_sentence(const Sizes& s, const ActivationSetup& setup, index_t rows) {
  const index_t pooled = copied(setup, rows * s.C);
  return Passes{{rows * (s.C + 2), rows * s.C + pooled, 4 * rows},
                {rows * s.C, rows * (2 * s.C + 2) + pooled, 4 * rows}} +
         statistics(rows);
}

Passes head(const ModelConfig& config,
            const Sizes& s,
            const ActivationSetup& setup,
            const MicrobatchSize& size) {
  Passes kept = language_model(config, s, setup, size.predicted);
  if (config.final_norm) kept = kept + norm(s.n, s.C);
  if (config.objective == Objective::mlm_nsp) kept = kept + next_sentence(s, setup, size.sentences);
  return kept;
}

}  // namespace

ActivationBytes activation_bytes(const ModelConfig& config,
                                 StageRange range,
                                 const ActivationSetup& setup,
                                 const MicrobatchSize& size) {
  const Sizes s = sizes_of(config, setup, size);
  Passes kept;
  if (range.first == 0) kept = kept + front(config, s);
  const index_t blocks =
      std::min(range.last, config.layers + 1) - std::max(range.first, index_t{1});
  for (index_t i = 0; i < blocks; ++i) kept = kept + block(s, setup);
  if (range.last == config.layers + 2) kept = kept + head(config, s, setup, size);
  const auto bytes = [&](const Kept& k) {
    return k.elements * static_cast<index_t>(size_of(value_type(setup.precision))) +
           k.operands * static_cast<index_t>(size_of(setup.precision)) + k.bytes;
  };
  return {bytes(kept.forward), bytes(kept.backward)};
}

}  // namespace lockstep
