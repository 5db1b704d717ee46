// --attention: who computes attention on GPUs.
#pragma once

#include <string>

#include "launch/trainer.hpp"

namespace lockstep {

enum class AttentionChoice { automatic, plain, cudnn, deterministic };

AttentionChoice attention_choice_named(const std::string& name);  // as the words of --attention

// Collective, before the Trainer of `config` is made: the same kernels for all ranks. automatic and
// deterministic take cuDNN in bf16 precision on GPUs that all have it; one line says why when they
// do not. Throws Error (refused) when cuDNN was asked for by name and is not to be had.
AttentionKernels choose_attention(const Environment& environment,
                                  AttentionChoice choice,
                                  const TrainerConfig& config,
                                  index_t microbatch_size);

}  // namespace lockstep
