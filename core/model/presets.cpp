#include "core/model/presets.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/error.hpp"

namespace lockstep {
namespace {

ModelConfig sized(ModelConfig config, index_t layers, index_t heads, index_t width) {
  config.layers = layers;
  config.heads = heads;
  config.width = width;
  config.ffn_width = 4 * width;
  return config;
}

// The defaults of ModelConfig are GPT-2's.
ModelConfig gpt2(index_t layers, index_t heads, index_t width) {
  return sized({}, layers, heads, width);
}

ModelConfig bert(index_t layers, index_t heads, index_t width) {
  ModelConfig config;
  config.vocab_size = 30522;
  config.max_positions = 512;
  config.segment_types = 2;
  config.norm = NormPlace::post;
  config.norm_epsilon = 1e-12;
  config.activation = Activation::gelu;
  config.embedding_norm = true;
  config.final_norm = false;
  config.mlm_transform = true;
  config.objective = Objective::mlm_nsp;
  config.mask = Mask::full;
  config.scaled_residual_init = false;
  return sized(config, layers, heads, width);
}

ModelConfig gpt_nano() {
  ModelConfig config;
  config.vocab_size = 65;
  config.max_positions = 64;
  config.activation = Activation::gelu;
  config.bias = false;
  config.dropout = 0;
  config.attention_dropout = 0;
  return sized(config, 4, 4, 128);
}

ModelConfig bert_nano() {
  ModelConfig config = gpt_nano();
  config.vocab_size = 66;  // one more: [MASK]
  config.bias = true;
  config.objective = Objective::mlm;
  config.mask = Mask::full;
  return config;
}

// Levenshtein distance, one row at a time.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({replaced, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

std::vector<Preset> all_presets() {
  return {{"bert-tiny", bert(2, 2, 128), 128},      {"bert-mini", bert(4, 4, 256), 128},
          {"bert-small", bert(4, 8, 512), 128},     {"bert-medium", bert(8, 8, 512), 128},
          {"bert-base", bert(12, 12, 768), 128},    {"bert-large", bert(24, 16, 1024), 128},
          {"bert-nano", bert_nano(), 64},           {"gpt2-124m", gpt2(12, 12, 768), 1024},
          {"gpt2-355m", gpt2(24, 16, 1024), 1024},  {"gpt2-774m", gpt2(36, 20, 1280), 1024},
          {"gpt2-1558m", gpt2(48, 25, 1600), 1024}, {"gpt-nano", gpt_nano(), 64}};
}

}  // namespace

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = all_presets();
  return all;
}

const Preset& find_preset(const std::string& name) {
  const auto& all = presets();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Preset& preset) { return preset.name == name; });
  if (found != all.end()) return *found;
  const std::string start = name.substr(0, 64);  // bounds the work on a hostile name
  const auto nearest =
      std::min_element(all.begin(), all.end(), [&](const Preset& a, const Preset& b) {
        return edit_distance(start, a.name) < edit_distance(start, b.name);
      });
  throw Error(build_string("--model ", start, " is not a preset; did you mean ", nearest->name,
                           "? `lockstep models` lists them"));
}

}  // namespace lockstep
