#include "tests/gold_file.hpp"

#include <map>

#include "core/error.hpp"
#include "core/hdf5.hpp"

namespace lockstep::test {
namespace {

// "transformer.h.3.attn.c_attn.weight" -> ("transformer.h.", 3, ".attn.c_attn.weight")
bool split_layer(const std::string& name,
                 const std::string& prefix,
                 std::string& layer,
                 std::string& rest) {
  if (name.rfind(prefix, 0) != 0) return false;
  const std::size_t dot = name.find('.', prefix.size());
  if (dot == std::string::npos) return false;
  layer = name.substr(prefix.size(), dot - prefix.size());
  rest = name.substr(dot + 1);
  return true;
}

const std::map<std::string, std::string> gpt_layer{
    {"ln_1.weight", "attention_norm.weight"},
    {"ln_1.bias", "attention_norm.bias"},
    {"attn.c_proj.weight", "attention.output.weight"},
    {"attn.c_proj.bias", "attention.output.bias"},
    {"ln_2.weight", "ffn_norm.weight"},
    {"ln_2.bias", "ffn_norm.bias"},
    {"mlp.c_fc.weight", "ffn.input.weight"},
    {"mlp.c_fc.bias", "ffn.input.bias"},
    {"mlp.c_proj.weight", "ffn.output.weight"},
    {"mlp.c_proj.bias", "ffn.output.bias"}};

const std::map<std::string, std::string> bert_layer{
    {"attention.self.query.weight", "attention.query.weight"},
    {"attention.self.query.bias", "attention.query.bias"},
    {"attention.self.key.weight", "attention.key.weight"},
    {"attention.self.key.bias", "attention.key.bias"},
    {"attention.self.value.weight", "attention.value.weight"},
    {"attention.self.value.bias", "attention.value.bias"},
    {"attention.output.dense.weight", "attention.output.weight"},
    {"attention.output.dense.bias", "attention.output.bias"},
    {"attention.output.LayerNorm.weight", "attention_norm.weight"},
    {"attention.output.LayerNorm.bias", "attention_norm.bias"},
    {"intermediate.dense.weight", "ffn.input.weight"},
    {"intermediate.dense.bias", "ffn.input.bias"},
    {"output.dense.weight", "ffn.output.weight"},
    {"output.dense.bias", "ffn.output.bias"},
    {"output.LayerNorm.weight", "ffn_norm.weight"},
    {"output.LayerNorm.bias", "ffn_norm.bias"}};

const std::map<std::string, std::string> ends{
    {"transformer.wte.weight", "embeddings.token.weight"},
    {"transformer.wpe.weight", "embeddings.position.weight"},
    {"transformer.ln_f.weight", "head.norm.weight"},
    {"transformer.ln_f.bias", "head.norm.bias"},
    {"bert.embeddings.word_embeddings.weight", "embeddings.token.weight"},
    {"bert.embeddings.position_embeddings.weight", "embeddings.position.weight"},
    {"bert.embeddings.token_type_embeddings.weight", "embeddings.segment.weight"},
    {"bert.embeddings.LayerNorm.weight", "embeddings.norm.weight"},
    {"bert.embeddings.LayerNorm.bias", "embeddings.norm.bias"},
    {"bert.pooler.dense.weight", "pooler.weight"},
    {"bert.pooler.dense.bias", "pooler.bias"},
    {"cls.predictions.bias", "head.decoder.bias"},
    {"cls.predictions.transform.dense.weight", "head.transform.weight"},
    {"cls.predictions.transform.dense.bias", "head.transform.bias"},
    {"cls.predictions.transform.LayerNorm.weight", "head.norm.weight"},
    {"cls.predictions.transform.LayerNorm.bias", "head.norm.bias"},
    {"cls.seq_relationship.weight", "nsp.weight"},
    {"cls.seq_relationship.bias", "nsp.bias"}};

GoldTensor translate(const std::string& path,
                     const std::string& name,
                     const std::vector<index_t>& shape) {
  GoldTensor tensor{
      .name = name, .shape = shape, .transposed = false, .parts = {}, .key_bias = false};
  std::string layer, rest;
  if (split_layer(name, "transformer.h.", layer, rest)) {
    const std::string prefix = "layers." + layer + ".";
    const bool weight = name.ends_with(".weight");
    if (rest == "attn.c_attn.weight" || rest == "attn.c_attn.bias") {
      const index_t C = shape.back() / 3;
      index_t first = 0;
      for (const char* part : {"query", "key", "value"}) {
        tensor.parts.push_back(
            {prefix + "attention." + part + (weight ? ".weight" : ".bias"), first});
        first += C;
      }
    } else {
      require(gpt_layer.count(rest) == 1, path, ": unknown tensor ", name);
      tensor.parts = {{prefix + gpt_layer.at(rest), 0}};
    }
    tensor.transposed = weight && shape.size() == 2;
  } else if (split_layer(name, "bert.encoder.layer.", layer, rest)) {
    require(bert_layer.count(rest) == 1, path, ": unknown tensor ", name);
    tensor.parts = {{"layers." + layer + "." + bert_layer.at(rest), 0}};
    tensor.key_bias = rest == "attention.self.key.bias";
  } else {
    require(ends.count(name) == 1, path, ": unknown tensor ", name);
    tensor.parts = {{ends.at(name), 0}};
  }
  return tensor;
}

}  // namespace

index_t GoldTensor::index(const GoldPart& part, index_t row, index_t column) const {
  if (shape.size() == 1) return part.first + row;
  return transposed ? column * shape[1] + part.first + row : (part.first + row) * shape[1] + column;
}

GoldFile::GoldFile(const std::string& path) : path_(path) {
  const hdf5::Reader file(path);
  require(
      file.string_attribute("format") == "lockstep-gold" && file.number_attribute("version") == 1,
      path, " is not a gold file of version 1");
  const auto number = [&file](const char* name) {
    return static_cast<index_t>(file.number_attribute(name));
  };
  const bool bert = file.string_attribute("model") == "bert";
  model_.layers = number("num_layers");
  model_.heads = number("num_heads");
  model_.width = number("width");
  model_.ffn_width = number("ffn_width");
  model_.vocab_size = number("vocab_size");
  model_.max_positions = number("max_positions");
  model_.norm_epsilon = file.number_attribute("layer_norm_eps");
  model_.activation =
      file.string_attribute("gelu") == "tanh" ? Activation::gelu_tanh : Activation::gelu;
  model_.dropout = model_.attention_dropout = 0;
  if (bert) {
    model_.norm = NormPlace::post;
    model_.segment_types = 2;
    model_.embedding_norm = model_.mlm_transform = true;
    model_.final_norm = false;
    model_.objective = Objective::mlm_nsp;
    model_.mask = Mask::full;
  }
  optimizer_.beta1 = file.number_attribute("beta1");
  optimizer_.beta2 = file.number_attribute("beta2");
  optimizer_.epsilon = file.number_attribute("eps");
  optimizer_.weight_decay = file.number_attribute("weight_decay");
  clip_norm_ = file.number_attribute("clip_norm");
  T_ = number("seq_len");
  B_ = number("batch_size");
  losses_ = file.read<double>("/loss");
  norms_ = file.read<double>("/grad_norm");
  rates_ = file.read<double>("/learning_rate");
  ids_ = file.read<std::int32_t>("/batch/input_ids");
  targets_ = file.read<std::int32_t>("/batch/targets");
  if (bert) {
    segments_ = file.read<std::int32_t>("/batch/token_type_ids");
    lengths_ = file.read<std::int32_t>("/batch/valid_lengths");
    labels_ = file.read<std::int32_t>("/batch/nsp_labels");
  }
  const std::size_t expected = losses_.size() * static_cast<std::size_t>(B_ * T_);
  require(!losses_.empty() && ids_.size() == expected && targets_.size() == expected &&
              norms_.size() == losses_.size() && rates_.size() == losses_.size(),
          path, ": the sizes of /batch and /loss do not fit together");
  for (const std::string& name : file.names("/weights")) {
    tensors_.push_back(translate(path, name, file.dataset("/weights/" + name).shape));
  }
}

std::vector<double> GoldFile::values(const std::string& group, const GoldTensor& tensor) const {
  return hdf5::Reader(path_).read<double>("/" + group + "/" + tensor.name);
}

Batch GoldFile::batch(int step, index_t first, index_t count) const {
  const auto rows = [&](const std::vector<std::int32_t>& all, index_t row_length) {
    const auto begin = all.begin() + (step * B_ + first) * row_length;
    return std::vector<std::int32_t>(begin, begin + count * row_length);
  };
  Batch batch{.B = count,
              .T = T_,
              .tokens = {},
              .segments = {},
              .lengths = {},
              .sample_ids = {},
              .target_rows = {},
              .target_ids = {},
              .labels = {},
              .cut = {},
              .row_starts = {}};
  batch.tokens = Tensor::from(rows(ids_, T_), {count * T_});
  std::vector<std::int64_t> samples;
  for (index_t b = 0; b < count; ++b) samples.push_back(step * B_ + first + b);
  batch.sample_ids = Tensor::from(samples, {count});
  std::vector<std::int32_t> picked, ids;
  const std::vector<std::int32_t> targets = rows(targets_, T_);
  for (std::size_t row = 0; row < targets.size(); ++row) {
    if (targets[row] < 0) continue;
    picked.push_back(static_cast<std::int32_t>(row));
    ids.push_back(targets[row]);
  }
  batch.target_rows = Tensor::from(picked, {static_cast<index_t>(picked.size())});
  batch.target_ids = Tensor::from(ids, {static_cast<index_t>(ids.size())});
  if (!segments_.empty()) {
    batch.segments = Tensor::from(rows(segments_, T_), {count * T_});
    batch.lengths = Tensor::from(rows(lengths_, 1), {count});
    batch.labels = Tensor::from(rows(labels_, 1), {count});
  }
  return batch;
}

}  // namespace lockstep::test
