// Self-attention: y = output(attend(q, k, v)), q | k | v = qkv(x), a fused matrix cut by heads.
// x, y (N, C), or shards  qkv (N, 3 NH_local HS)  attended (N, NH_local HS).
// NH_local heads of this rank, HS head size, N = the context's rows. The context's batch gives B,
// T, the lengths (padding) and the sample numbers that dropout of the probabilities is keyed by.
// Sequences cut over cp are attended to round the ring of its ranks (core/nn/ring_attention.hpp),
// or in a fixed order of sums by exchanging rows for heads (core/nn/head_exchange.hpp).
#pragma once

#include "core/footprint.hpp"
#include "core/group.hpp"
#include "core/nn/linear.hpp"
#include "core/ops/attention.hpp"

namespace lockstep {

struct AttentionConfig {
  index_t heads = 0;  // of this rank
  index_t head_size = 0;
  index_t first_head = 0;  // global number of this rank's head 0
  Mask mask = Mask::full;
  double dropout = 0;
  AttentionKernels kernels = AttentionKernels::plain;
};

class Attention {
 public:
  struct Saved {
    Linear::Saved qkv_linear, output_linear;
    Tensor qkv, attended, lse;

    void add_to(Footprint& footprint) const {
      footprint.add(qkv_linear, output_linear, qkv, attended, lse);
    }
  };

  // Keep what the core (everything between the two products) computed, or compute it again in the
  // backward pass (selective recompute, Korthikanti et al. 2022).
  enum class Core { kept, recomputed };

  // cp must outlive the module.
  Attention(Linear qkv, Linear output, AttentionConfig config, Group& cp, Core core = Core::kept);

  Tensor forward(const Tensor& x, Saved& saved, const Context& context) const;
  // Without output's bias.
  Tensor forward_unbiased(const Tensor& x, Saved& saved, const Context& context) const;
  const Tensor& bias() const { return output_.bias(); }  // may be undefined
  Tensor backward_input(const Tensor& dy, Saved& saved, const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;

 private:
  AttentionSpec spec(const Context& context) const;
  bool exchanges_heads(const Context& context) const;
  Tensor attend(Saved& saved, const Context& context) const;  // fills attended and lse

  Linear qkv_, output_;
  AttentionConfig config_;
  Group* cp_;
  Core core_;
};
static_assert(Module<Attention>);

}  // namespace lockstep
