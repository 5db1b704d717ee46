// The named models. Sizes of Devlin et al. 2019 and Turc et al. 2019 (bert-*), Radford et al. 2019
// (gpt2-*), and nanoGPT's character-level CPU configuration (gpt-nano; bert-nano is the same
// bidirectional and masked).
#pragma once

#include <string>
#include <vector>

#include "core/model/config.hpp"

namespace lockstep {

struct Preset {
  std::string name;
  ModelConfig config;
  index_t sequence_length;  // default of --sequence-length
};

const std::vector<Preset>& presets();
// Throws Error naming the nearest known name.
const Preset& find_preset(const std::string& name);

}  // namespace lockstep
