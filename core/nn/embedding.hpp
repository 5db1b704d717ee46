// x = token[id] + position[t] + segment[s].   ids, segments (N) i32, row b*T+t   x (N, C)
// The token table is cut over tp by rows: a rank looks up the ids it has, zeros elsewhere, and the
// sum over tp is whole. With Rows::cut a rank gets its shard of the rows of x, and dx is a shard;
// the gradients are then of all gathered rows: the same on every rank, but the token table's.
// Positions are a parameter, or fixed: sin (even columns) and cos (odd) of t / 10000^(2i/C)
// (Vaswani et al. 2017). Ids have no gradient: backward_input only takes dx, so this is an end of a
// model, no Module.
#pragma once

#include "core/footprint.hpp"
#include "core/group.hpp"
#include "core/nn/context.hpp"
#include "core/nn/sequence_parallel.hpp"
#include "core/parameter.hpp"

namespace lockstep {

// (num_positions, C); computed in double.
Tensor sinusoidal_positions(index_t num_positions, index_t C, DType dtype);

class Embedding {
 public:
  struct Saved {
    Tensor ids, positions, segments, dx;

    // ids and segments are the batch's.
    void add_to(Footprint& footprint) const { footprint.add(positions, dx); }
  };
  struct Tables {
    Parameter token;  // (V_local, C), rows [first_token, first_token + V_local) of all
    index_t first_token = 0;
    Parameter position;  // (P, C); learned: with a gradient, sinusoidal: without
    Parameter segment;   // (S, C); undefined: no segments
  };

  Embedding(Tables tables, Group& tp, Rows rows = Rows::whole);

  // segments may be undefined: all 0.
  Tensor forward(const Tensor& ids,
                 const Tensor& segments,
                 Saved& saved,
                 const Context& context) const;
  void backward_input(const Tensor& dx, Saved& saved) const;
  void backward_weight(Saved& saved, const Context& context) const;

 private:
  void add_gradients(const Saved& saved) const;
  void add_fixed_gradients(const Saved& saved, const Context& context) const;

  Tables tables_;
  Group* tp_;
  Rows rows_;
};

}  // namespace lockstep
