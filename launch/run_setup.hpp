// From the options of a run to what is fixed before anything is allocated: ranks, model, data.
#pragma once

#include <optional>
#include <string>

#include "data/loader.hpp"
#include "launch/options.hpp"
#include "launch/trainer.hpp"

namespace lockstep {

struct RunSetup {
  Degrees degrees;
  Device device;
  AttentionKernels attention = AttentionKernels::plain;
  ModelConfig model;
  index_t sequence_length = 0;
  Schedule schedule;
  std::string fingerprint;
  LoaderConfig data;
  std::optional<LoaderConfig> validation;
};

// Throws Error for what does not fit together.
RunSetup read_setup(const RunOptions& options, const Environment& environment);
// Microbatches without rows of padding, on CPUs. Not where each rank holds a part of every
// sequence, nor where sums over rows have a fixed order: that counts on rows of T.
void leave_out_padding(LoaderConfig& data,
                       const Degrees& degrees,
                       Device device,
                       bool sequence_parallel,
                       bool fixed_sums);
TrainerConfig trainer_config(const RunOptions& options, const RunSetup& setup);

}  // namespace lockstep
