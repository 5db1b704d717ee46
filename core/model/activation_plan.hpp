// What a stage keeps of one microbatch, in bytes, from sizes alone: the struct Stage::Saved added
// up before there is one (Korthikanti et al. 2022 count the same things, in 16 bits). Per block and
// token, pre- or post-norm (C width, A_local, F_local of this tp rank, n tokens of N under sequence
// parallelism):
//   after F   4 C + 4 over n;  4 A_local + heads_local + 2 F_local over N
//   after B   6 C + 4 over n;  2 C + 4 A_local + 2 F_local over N    (inputs and output gradients)
// In bf16 what products read is kept rounded, beside what else reads the same.
#pragma once

#include "core/model/config.hpp"
#include "core/model/plan.hpp"
#include "core/model/stage.hpp"

namespace lockstep {

struct ActivationSetup {
  DType precision = DType::f32;
  int tp = 1;
  bool sequence_parallel = false;
  Recompute recompute = Recompute::none;
  bool exchanges_heads = false;  // reproducible mode over cp: attention's output twice
  bool whole_logits = false;     // reproducible mode: a microbatch's logits are one chunk
};

// Of one microbatch on one rank.
struct MicrobatchSize {
  index_t rows = 0;       // N
  index_t predicted = 0;  // tokens that the head predicts
  index_t sentences = 0;  // samples that NSP sees here: B, or none on a cp rank without position 0
};

struct ActivationBytes {
  index_t after_forward = 0;
  index_t after_backward = 0;  // of B alone, until W; a whole backward pass keeps nothing
};

ActivationBytes activation_bytes(const ModelConfig& config,
                                 StageRange range,
                                 const ActivationSetup& setup,
                                 const MicrobatchSize& size);

}  // namespace lockstep
