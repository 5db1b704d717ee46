// --attention: who computes attention on GPUs.
#pragma once

#include <string>

#include "core/ops/attention.hpp"
#include "launch/trainer.hpp"

namespace lockstep {

enum class AttentionChoice { automatic, plain, cudnn, deterministic };

// What this rank's layers will ask for; of the tensors only presence and size are right.
AttentionSpec attention_spec(const TrainerConfig& config, index_t microbatch_size);

AttentionChoice attention_choice_named(const std::string& name);  // as the words of --attention

// Collective, before the Trainer of `config` is made: the same kernels for all ranks. automatic and
// deterministic take cuDNN in bf16 precision on GPUs that all have it; one line says why when they
// do not; automatic is deterministic where reproducible. Throws Error (refused) when cuDNN was
// asked for by name and is not to be had, or its sums in any order are not wanted.
AttentionKernels choose_attention(const Environment& environment,
                                  AttentionChoice choice,
                                  const TrainerConfig& config,
                                  index_t microbatch_size,
                                  bool reproducible = false);

}  // namespace lockstep
