// From options to a model, and from a model back to the settings a run is known by.
#include <algorithm>
#include <numeric>

#include "core/error.hpp"
#include "core/model/presets.hpp"
#include "core/ops/sum_order.hpp"
#include "launch/options.hpp"

namespace lockstep {
namespace {

template <typename T>
void replace(T& value, const std::optional<T>& by) {
  if (by) value = *by;
}

// A preset under another objective: what the objective needs of the model, and nothing it has no
// use for.
void set_objective(ModelConfig& model, Objective objective) {
  if (model.objective == objective) return;
  model.objective = objective;
  model.mask = objective == Objective::causal ? Mask::causal : Mask::full;
  model.segment_types = objective == Objective::mlm_nsp ? 2 : 0;
  model.mlm_transform = objective != Objective::causal;
}

std::string text_of(bool value) { return value ? "yes" : "no"; }

// Shortest text that reads back exactly.
std::string text_of(double value) {
  std::string text = build_string(value);
  for (int digits = 6; digits <= 17 && parse_real(text) != value; ++digits) {
    std::ostringstream out;
    out.precision(digits);
    out << value;
    text = out.str();
  }
  return text;
}

std::map<std::string, std::string> model_settings(const RunOptions& options,
                                                  const ModelConfig& model) {
  std::map<std::string, std::string> settings;
  settings["model"] = options.model.model;
  settings["layers"] = std::to_string(model.layers);
  settings["heads"] = std::to_string(model.heads);
  settings["width"] = std::to_string(model.width);
  settings["ffn-width"] = std::to_string(model.ffn_width);
  settings["max-positions"] = std::to_string(model.max_positions);
  settings["vocab-size"] = std::to_string(model.vocab_size);
  settings["positions"] = name_of(model.positions);
  settings["norm"] = name_of(model.norm);
  settings["activation"] = name_of(model.activation);
  settings["bias"] = text_of(model.bias);
  settings["dropout"] = text_of(model.dropout);
  settings["attention-dropout"] = text_of(model.attention_dropout);
  settings["objective"] = name_of(model.objective);
  settings["sequence-length"] = std::to_string(resolve_sequence_length(options.model, model));
  return settings;
}

}  // namespace

ModelConfig make_model(const ModelOptions& options,
                       const LayoutOptions& layout,
                       index_t tokenizer_vocab,
                       bool reproducible) {
  ModelConfig model = find_preset(options.model).config;
  replace(model.layers, options.layers);
  replace(model.heads, options.heads);
  if (options.width && !options.ffn_width) model.ffn_width = 4 * *options.width;
  if (options.width || options.heads) model.head_size = 0;
  replace(model.width, options.width);
  replace(model.ffn_width, options.ffn_width);
  replace(model.max_positions, options.max_positions);
  replace(model.positions, options.positions);
  if (options.norm && *options.norm != model.norm) {
    model.norm = *options.norm;
    model.final_norm = model.norm == NormPlace::pre;
  }
  replace(model.activation, options.activation);
  replace(model.bias, options.bias);
  replace(model.dropout, options.dropout);
  replace(model.attention_dropout, options.attention_dropout);
  if (options.objective) set_objective(model, *options.objective);

  if (tokenizer_vocab > 0) model.vocab_size = tokenizer_vocab;
  if (options.vocab_size) {
    require(*options.vocab_size >= tokenizer_vocab, "--vocab-size ", *options.vocab_size,
            " is smaller than the corpus's vocabulary of ", tokenizer_vocab,
            "; leave it out or raise it");
    model.vocab_size = *options.vocab_size;
  }
  model.resolve(reproducible ? std::lcm(options.vocab_multiple, SumOrder::most_chains)
                             : options.vocab_multiple,
                layout.tp);
  model.validate();
  model.validate_layout(layout.tp, layout.pp);
  resolve_sequence_length(options, model);
  return model;
}

ModelConfig make_model(const RunOptions& options, index_t tokenizer_vocab) {
  return make_model(options.model, options.layout, tokenizer_vocab, options.numerics.reproducible);
}

index_t resolve_sequence_length(const ModelOptions& options, const ModelConfig& model) {
  if (!options.sequence_length)
    return std::min(find_preset(options.model).sequence_length, model.max_positions);
  require(*options.sequence_length <= model.max_positions, "--sequence-length ",
          *options.sequence_length, " is more than --max-positions ", model.max_positions,
          "; lower one or raise the other");
  return *options.sequence_length;
}

std::string resolved_config(const RunOptions& options, const ModelConfig& model) {
  OptionValues values = options.values;
  for (const auto& [name, text] : model_settings(options, model)) values.resolve(name, text);
  if (options.decay != Decay::constant)
    values.resolve("decay-steps", std::to_string(options.decay_steps));
  return values.ini();
}

std::map<std::string, std::string> fixed_settings(const RunOptions& options,
                                                  const ModelConfig& model) {
  std::map<std::string, std::string> settings = model_settings(options, model);
  settings["global-batch-size"] = std::to_string(options.global_batch_size);
  settings["batch-ramp"] = options.values.text("batch-ramp");
  settings["seed"] = std::to_string(options.seed);
  settings["precision"] = name_of(options.numerics.precision);
  settings["reproducible"] = text_of(options.numerics.reproducible);
  settings["warmup-steps"] = std::to_string(options.warmup_steps);
  settings["decay"] = options.values.text("decay");
  settings["learning-rate"] = text_of(options.learning_rate);
  settings["weight-decay"] = text_of(options.weight_decay);
  settings["beta1"] = text_of(options.beta1);
  settings["beta2"] = text_of(options.beta2);
  settings["epsilon"] = text_of(options.epsilon);
  settings["clip-norm"] = text_of(options.clip_norm);
  if (options.decay != Decay::constant)
    settings["min-learning-rate"] = text_of(options.min_learning_rate);
  if (options.values.given("decay-steps"))
    settings["decay-steps"] = std::to_string(options.decay_steps);
  if (model.objective != Objective::causal)
    settings["mask-probability"] = text_of(options.mask_probability);
  std::string weights;
  for (const auto& corpus : options.corpora)
    weights += (weights.empty() ? "" : ",") + text_of(corpus.second);
  settings["corpus"] = weights;
  return settings;
}

void check_resumed(const std::map<std::string, std::string>& now,
                   const std::map<std::string, std::string>& then,
                   const std::string& step_directory) {
  for (const auto& [name, text] : now) {
    const auto found = then.find(name);
    if (found == then.end() || found->second == text) continue;
    // Weights and moments are converted; only the promise of equal bits cannot be kept.
    if (name == "precision" && now.at("reproducible") == text_of(false)) continue;
    const std::string shown = name == "corpus" ? "weights of --corpus" : "--" + name;
    throw Error(build_string(shown, " ", text, " differs from ", found->second, " in ",
                             step_directory,
                             "; use the same value, or --resume never with a new --output"));
  }
}

}  // namespace lockstep
