// Inverted dropout whose mask is a function of global coordinates: element (sample, position,
// feature) of a site is kept iff word (feature mod 4) of philox({feature / 4, position, sample low,
// sample high}, key) is below keep_threshold(p); kept elements are scaled by 1 / (1 - p). The key
// holds seed, step and site (core/nn/context.hpp).
#pragma once

#include "core/random.hpp"
#include "core/tensor.hpp"

namespace lockstep {

// How rows of an activation map to coordinates: row i of x is row first_row + i of a run of rows
// whose row r is position first_position + r mod T of sample sample_ids[r / T].
struct DropoutSpec {
  double probability = 0;  // in [0, 1); 0: every op below is the identity
  PhiloxKey key{};
  Tensor sample_ids;  // (B) i64
  index_t T = 1;
  index_t first_row = 0;
  index_t first_position = 0;
};

// Whether every row of x has a sample; without dropout the samples are not looked at.
bool covers(const DropoutSpec& spec, const Tensor& x);

// y = mask(x) / (1 - p).   x, y (N, C); y may be x.
void dropout_forward(Tensor& y, const Tensor& x, const DropoutSpec& spec);
// dx = mask(dy) / (1 - p). dx may be dy.
void dropout_backward(Tensor& dx, const Tensor& dy, const DropoutSpec& spec);

}  // namespace lockstep
