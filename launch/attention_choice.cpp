#include "launch/attention_choice.hpp"

#include "core/say.hpp"
#include "core/sequence_cut.hpp"

namespace lockstep {

AttentionSpec attention_spec(const TrainerConfig& config, index_t microbatch_size) {
  AttentionSpec spec;
  spec.B = microbatch_size;
  const SequenceCut cut{0, config.degrees.cp};
  spec.T_q = spec.T_k = cut.chunk_length(config.sequence_length / cut.size);
  if (cut.size > 1) spec.first_query = spec.T_q;  // most pairs of chunks are no sequence's begin
  spec.heads = spec.kv_heads = config.model.heads / config.degrees.tp;
  spec.head_size = config.model.head_size;
  spec.mask = config.model.mask;
  spec.kernels = config.attention;
  if (config.model.objective != Objective::causal)
    spec.lengths = Tensor::zeros({spec.B}, DType::i32, config.device);
  spec.dropout = config.model.attention_dropout;
  spec.sample_ids = Tensor::zeros({spec.B}, DType::i64, config.device);
  return spec;
}

AttentionChoice attention_choice_named(const std::string& name) {
  if (name == "plain") return AttentionChoice::plain;
  if (name == "cudnn") return AttentionChoice::cudnn;
  return name == "deterministic" ? AttentionChoice::deterministic : AttentionChoice::automatic;
}

AttentionKernels choose_attention(const Environment& environment,
                                  AttentionChoice choice,
                                  const TrainerConfig& config,
                                  index_t microbatch_size,
                                  bool reproducible) {
  const bool by_name = choice == AttentionChoice::cudnn;
  const bool on_gpu = config.device.kind == Device::Kind::cuda;
  const bool rounds = config.precision == DType::bf16;
  environment.agree([&] {
    require(!by_name || on_gpu, "--attention cudnn has no effect on the CPU; leave it out or use ",
            "--device cuda");
    require(!by_name || rounds, "--attention cudnn reads bf16; leave it out or use ",
            "--precision bf16");
    require(!by_name || !reproducible, "--attention cudnn sums in an order that changes; with ",
            "--reproducible use --attention deterministic or plain");
  });
  if (choice == AttentionChoice::plain || !on_gpu || !rounds) return AttentionKernels::plain;
  const bool in_one_order = choice == AttentionChoice::deterministic || reproducible;
  TrainerConfig wished = config;
  wished.attention = in_one_order ? AttentionKernels::deterministic : AttentionKernels::cudnn;
  try {
    environment.agree([&] {
      const std::string reason =
          why_plain_attention(config.device, attention_spec(wished, microbatch_size));
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
  return wished.attention;
}

}  // namespace lockstep
