// A model as a checkpoint describes it: what eval and generate open.
#pragma once

#include <optional>
#include <string>

#include "launch/options.hpp"
#include "launch/trainer.hpp"

namespace lockstep {

struct SavedModel {
  std::string step_directory;
  CheckpointMeta meta;
  ModelConfig model;  // resolved for the layout given
  index_t sequence_length = 0;
  DType precision = DType::f32;
  double mask_probability = 0.15;
};

// path: a run or a step directory. Throws Error naming it, the setting and its value when the
// checkpoint does not say what it must.
SavedModel open_saved_model(const std::string& path,
                            std::optional<std::int64_t> step,
                            const LayoutOptions& layout,
                            std::optional<DType> precision,
                            bool reproducible = false);

// Forward only: one replica per data-parallel rank, no optimizer state is read. Collective.
TrainerConfig inference_config(const SavedModel& saved, Degrees degrees, Device device);

}  // namespace lockstep
