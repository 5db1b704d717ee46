#include "core/model/activation_plan.hpp"

#include <algorithm>

#include "core/nn/losses.hpp"

namespace lockstep {
namespace {

// Elements of the model's type, and bytes of others.
struct Kept {
  index_t elements = 0, bytes = 0;

  Kept operator+(const Kept& other) const {
    return {elements + other.elements, bytes + other.bytes};
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
  const index_t N = size.B * size.T;
  return {config.width,
          config.heads * config.head_size / setup.tp,
          config.ffn_width / setup.tp,
          config.heads / setup.tp,
          config.padded_vocab / setup.tp,
          N,
          setup.sequence_parallel ? N / setup.tp : N};
}

// Input, mean and 1 / deviation of `rows` rows; with its output's gradient after B.
Passes norm(index_t rows, index_t C) { return {{rows * (C + 2), 0}, {rows * (2 * C + 2), 0}}; }

// Largest logit, sum of exponentials and target logit of each row, in double.
Passes statistics(index_t rows) { return {{0, 24 * rows}, {0, 24 * rows}}; }

Passes block(const Sizes& s, const ActivationSetup& setup) {
  Passes kept = norm(s.n, s.C) + norm(s.n, s.C);
  const index_t core = s.N * (s.A_local + s.NH_local);  // attention's output, log of its sums
  // Inputs of qkv and ffn; q, k, v; hidden before and after the activation.
  kept.forward.elements += 2 * s.n * s.C + s.N * (3 * s.A_local + 2 * s.F_local);
  if (setup.recompute != Recompute::selective)
    kept.forward.elements += core + (setup.exchanges_heads ? s.N * s.A_local : 0);
  // The same inputs, attention's output, the activation; the gradient of each product's output.
  kept.backward.elements +=
      2 * s.n * s.C + s.N * (s.A_local + s.F_local) + s.N * (2 * s.C + 3 * s.A_local + s.F_local);
  if (setup.recompute == Recompute::full) kept.forward = {s.n * s.C, 0};
  return kept;
}

Passes front(const ModelConfig& config, const Sizes& s) {
  Passes kept{{0, 4 * s.N}, {s.n * s.C, 4 * s.N}};  // position ids; the sum's gradient
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
  kept.forward.elements += 2 * rows * s.C + logits;
  kept.backward.elements += rows * s.C + logits;
  if (!config.mlm_transform) return kept;
  const index_t dense = 2 * rows * s.C;  // input and hidden; input and output gradient
  return kept + norm(rows, s.C) + Passes{{dense, 0}, {dense, 0}};
}

// Row numbers, first tokens, pooled, logits; the pooler's output gradient after B.
Passes next_sentence(const Sizes& s, index_t rows) {
  return Passes{{rows * (2 * s.C + 2), 4 * rows}, {rows * (3 * s.C + 2), 4 * rows}} +
         statistics(rows);
}

Passes head(const ModelConfig& config,
            const Sizes& s,
            const ActivationSetup& setup,
            const MicrobatchSize& size) {
  Passes kept = language_model(config, s, setup, size.predicted);
  if (config.final_norm) kept = kept + norm(s.n, s.C);
  if (config.objective == Objective::mlm_nsp) kept = kept + next_sentence(s, size.sentences);
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
    return k.elements * static_cast<index_t>(size_of(setup.dtype)) + k.bytes;
  };
  return {bytes(kept.forward), bytes(kept.backward)};
}

}  // namespace lockstep
