#include "launch/attention_choice.hpp"

#include "core/ops/attention.hpp"
#include "core/say.hpp"

namespace lockstep {
namespace {

// What this rank's layers will ask for; only presence and size of the tensors count.
AttentionSpec spec_of(const TrainerConfig& config,
                      AttentionKernels kernels,
                      index_t microbatch_size) {
  AttentionSpec spec;
  spec.B = microbatch_size;
  spec.T_q = spec.T_k = config.sequence_length;
  spec.heads = spec.kv_heads = config.model.heads / config.degrees.tp;
  spec.head_size = config.model.head_size;
  spec.mask = config.model.mask;
  spec.kernels = kernels;
  if (config.model.objective != Objective::causal)
    spec.lengths = Tensor::zeros({spec.B}, DType::i32, config.device);
  spec.dropout = config.model.attention_dropout;
  spec.sample_ids = Tensor::zeros({spec.B}, DType::i64, config.device);
  return spec;
}

}  // namespace

AttentionChoice attention_choice_named(const std::string& name) {
  if (name == "plain") return AttentionChoice::plain;
  if (name == "cudnn") return AttentionChoice::cudnn;
  return name == "deterministic" ? AttentionChoice::deterministic : AttentionChoice::automatic;
}

AttentionKernels choose_attention(const Environment& environment,
                                  AttentionChoice choice,
                                  const TrainerConfig& config,
                                  index_t microbatch_size) {
  const bool by_name = choice == AttentionChoice::cudnn;
  const bool on_gpu = config.device.kind == Device::Kind::cuda;
  const bool rounds = config.precision == DType::bf16;
  environment.agree([&] {
    require(!by_name || on_gpu, "--attention cudnn has no effect on the CPU; leave it out or use ",
            "--device cuda");
    require(!by_name || rounds, "--attention cudnn reads bf16; leave it out or use ",
            "--precision bf16");
  });
  if (choice == AttentionChoice::plain || !on_gpu || !rounds) return AttentionKernels::plain;
  const AttentionKernels kernels = choice == AttentionChoice::deterministic
                                       ? AttentionKernels::deterministic
                                       : AttentionKernels::cudnn;
  try {
    environment.agree([&] {
      const std::string reason =
          why_plain_attention(config.device, spec_of(config, kernels, microbatch_size));
      require(reason.empty(), reason);
    });
  } catch (const AgreedError& error) {
    environment.agree([&] {
      require(!by_name, "--attention cudnn: ", error.what(), "; use --attention auto or plain");
    });
    if (environment.rank() == 0)
      say(build_string("lockstep: attention is computed in fp32: ", error.what()));
    return AttentionKernels::plain;
  }
  return kernels;
}

}  // namespace lockstep
