// Tiny models and batches for tests: every size odd or different from the others, so that a
// mixed-up one shows.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/model/parameter_table.hpp"
#include "core/model/stage.hpp"
#include "tests/support/gradcheck.hpp"

namespace lockstep::test {

inline ModelConfig tiny_gpt() {
  ModelConfig config;
  config.layers = 2;
  config.heads = 2;
  config.width = 6;
  config.ffn_width = 10;
  config.vocab_size = 13;
  config.max_positions = 9;
  config.dropout = 0.2;
  config.attention_dropout = 0.1;
  config.resolve(8, 1);
  return config;
}

inline ModelConfig tiny_bert() {
  ModelConfig config = tiny_gpt();
  config.segment_types = 2;
  config.norm = NormPlace::post;
  config.norm_epsilon = 1e-12;
  config.activation = Activation::gelu;
  config.embedding_norm = true;
  config.final_norm = false;
  config.mlm_transform = true;
  config.objective = Objective::mlm_nsp;
  config.scaled_residual_init = false;
  config.resolve(8, 1);
  return config;
}

// B sequences of T; padded: lengths T, T-2, T-1, T, ... Targets: all but the last position
// (causal), every third one (masked).
inline Batch tiny_batch(const ModelConfig& config,
                        index_t B,
                        index_t T,
                        bool padded,
                        index_t first_sample = 0) {
  const auto draw = [](std::uint64_t what, index_t sample, index_t t, index_t below) {
    const std::uint64_t where =
        mix(static_cast<std::uint64_t>(sample), static_cast<std::uint64_t>(t));
    return static_cast<std::int32_t>(mix(what, where) % static_cast<std::uint64_t>(below));
  };
  std::vector<std::int32_t> tokens, segments, lengths, rows, ids, labels;
  std::vector<std::int64_t> samples;
  for (index_t b = 0; b < B; ++b) {
    const index_t sample = first_sample + b,
                  length = padded ? T - (sample % 3 == 0 ? 0 : 3 - sample % 3) : T;
    samples.push_back(sample);
    lengths.push_back(static_cast<std::int32_t>(length));
    labels.push_back(draw(3, sample, 0, 2));
    for (index_t t = 0; t < T; ++t) {
      tokens.push_back(t < length ? draw(1, sample, t, config.vocab_size) : 0);
      segments.push_back(t < length && t > T / 2 ? 1 : 0);
      const bool predicted = config.objective == Objective::causal
                                 ? t + 1 < length
                                 : (t + sample) % 3 == 0 && t < length;
      if (!predicted) continue;
      rows.push_back(static_cast<std::int32_t>(b * T + t));
      ids.push_back(draw(2, sample, t, config.vocab_size));
    }
  }
  Batch batch;
  batch.B = B;
  batch.T = T;
  batch.tokens = Tensor::from(tokens, {B * T});
  if (config.segment_types > 0) batch.segments = Tensor::from(segments, {B * T});
  if (padded) batch.lengths = Tensor::from(lengths, {B});
  batch.sample_ids = Tensor::from(samples, {B});
  batch.target_rows = Tensor::from(rows, {static_cast<index_t>(rows.size())});
  batch.target_ids = Tensor::from(ids, {static_cast<index_t>(ids.size())});
  if (config.objective == Objective::mlm_nsp) batch.labels = Tensor::from(labels, {B});
  return batch;
}

// Values that no gradient vanishes on: weights in [-0.4, 0.4), norm weights around 1, biases too.
inline void randomize(ParameterStore& store) {
  for (const ParameterStore::Entry& entry : store.entries()) {
    Tensor value = entry.parameter.value;
    const Tensor noise = random_tensor(value.shape(), DType::f64, hash_name(entry.row->name));
    const double centre = entry.row->init.kind == Init::Kind::ones ? 1 : 0;
    for (index_t i = 0; i < value.count(); ++i)
      set_value(value, i, centre + 0.4 * value_at(noise, i));
  }
  store.round_values();
}

// A model cut into stages that one process runs in turn.
class TinyModel {
 public:
  TinyModel(ModelConfig config,
            int num_stages,
            Recompute recompute = Recompute::none,
            DType precision = DType::f64)
      : config_(std::move(config)), table_(config_) {
    const auto ranges = cut_stages(plan_layers(config_, config_.max_positions), num_stages);
    stores_.reserve(ranges.size());
    for (const StageRange range : ranges) {
      stores_.emplace_back(table_, range, 0, 1, precision, Device{});
      randomize(stores_.back());
      stages_.emplace_back(config_, range, stores_.back(), StageSetup{tp_, tp_, recompute});
    }
    context_.seed = 5;
    context_.step = 2;
  }

  // Forward and backward of microbatches, as one step; apart: all B before W. Returns the loss
  // times count_0.
  double train(const std::vector<Batch>& batches, bool apart = false) {
    start(batches);
    for (const Batch& batch : batches) {
      std::vector<Stage::SavedHandle> saved = forward(batch);
      Bundle bundle;
      for (std::size_t i = stages_.size(); i-- > 0;) {
        bundle = apart ? stages_[i].backward_input(batch, bundle, *saved[i], context_)
                       : stages_[i].backward(batch, bundle, *saved[i], context_);
      }
      for (std::size_t i = 0; apart && i < stages_.size(); ++i) {
        stages_[i].backward_weight(batch, *saved[i], context_);
      }
    }
    return total();
  }

  double loss(const std::vector<Batch>& batches, bool training = true) {
    start(batches);
    context_.training = training;
    for (const Batch& batch : batches) forward(batch);
    context_.training = true;
    return total();
  }

  Tensor logits(const Batch& batch) {
    context_.batch = batch.view();
    context_.training = false;
    const Tensor logits = stages_.back().logits(batch, {}, context_);
    context_.training = true;
    return logits;
  }

  // Summed over the stages that use it.
  Tensor gradient(const std::string& name) const {
    Tensor sum;
    for (const ParameterStore& store : stores_) {
      if (!store.has(name)) continue;
      const Tensor part = store.get(name).gradient;
      if (!sum.defined()) {
        sum = part.clone();
        continue;
      }
      for (index_t i = 0; i < sum.count(); ++i)
        set_value(sum, i, value_at(sum, i) + value_at(part, i));
    }
    return sum;
  }

  const ParameterTable& table() const { return table_; }
  ParameterStore& store(std::size_t stage = 0) { return stores_[stage]; }
  const std::vector<LossTerm>& terms() const { return terms_; }

 private:
  void start(const std::vector<Batch>& batches) {
    terms_ = loss_terms(config_);
    for (const Batch& batch : batches) add_counts(terms_, batch);
    context_.terms = &terms_;
  }

  std::vector<Stage::SavedHandle> forward(const Batch& batch) {
    context_.batch = batch.view();
    std::vector<Stage::SavedHandle> saved;
    Bundle bundle;
    for (const Stage& stage : stages_) {
      saved.push_back(stage.make_saved());
      bundle = stage.forward(batch, bundle, *saved.back(), context_);
    }
    return saved;
  }

  double total() const {
    double total = 0;
    for (const LossTerm& term : terms_) {
      total += term.weight * term.sum.value() / static_cast<double>(term.count);
    }
    return total * static_cast<double>(terms_[0].count);
  }

  ModelConfig config_;
  ParameterTable table_;
  LocalGroup tp_;
  std::vector<ParameterStore> stores_;
  std::vector<Stage> stages_;
  std::vector<LossTerm> terms_;
  Context context_;
};

}  // namespace lockstep::test
