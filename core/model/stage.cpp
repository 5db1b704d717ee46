#include "core/model/stage.hpp"

#include <algorithm>
#include <cassert>
#include <optional>
#include <utility>
#include <variant>

#include "core/error.hpp"
#include "core/model/front.hpp"
#include "core/model/head.hpp"
#include "core/nn/block.hpp"
#include "core/nn/recompute.hpp"

namespace lockstep {
namespace {

// A block at its place in the model: dropout is keyed by `number`.
struct Layer {
  using Saved = std::variant<Block::Saved, Recomputed<Block>::Saved>;

  std::uint32_t number = 0;
  std::variant<Block, Recomputed<Block>> module;

  Tensor forward(const Tensor& x, Saved& saved, const Context& context) const {
    return std::visit(
        [&]<typename M>(const M& m) {
          return m.forward(x, saved.emplace<typename M::Saved>(), context.at(number));
        },
        module);
  }
  Tensor backward_input(const Tensor& dy, Saved& saved, const Context& context) const {
    return std::visit(
        [&]<typename M>(const M& m) {
          return m.backward_input(dy, std::get<typename M::Saved>(saved), context.at(number));
        },
        module);
  }
  void backward_weight(Saved& saved, const Context& context) const {
    std::visit(
        [&]<typename M>(const M& m) {
          m.backward_weight(std::get<typename M::Saved>(saved), context.at(number));
        },
        module);
  }
};

Block make_block(const ModelConfig& config,
                 index_t index,
                 const ParameterStore& store,
                 const StageSetup& setup) {
  Group& tp = setup.tp;
  const std::string prefix = build_string("layers.", index, ".");
  const auto linear = [&](const std::string& name, Split split) {
    return Linear(store.get(prefix + name + ".weight"), store.get_if(prefix + name + ".bias"),
                  split, tp, setup.rows());
  };
  const auto norm = [&](const std::string& name) {
    return LayerNorm(store.get(prefix + name + ".weight"), store.get_if(prefix + name + ".bias"),
                     config.norm_epsilon, setup.sequence_parallel ? &tp : nullptr);
  };
  const auto fused = [&](const std::string& kind) {
    const std::string attention = prefix + "attention.";
    return store.fused(
        {attention + "query" + kind, attention + "key" + kind, attention + "value" + kind});
  };
  const AttentionConfig heads{
      config.heads / tp.size(), config.head_size, config.heads / tp.size() * tp.rank(), config.mask,
      config.attention_dropout, setup.attention};
  return Block(norm("attention_norm"),
               Attention(Linear(fused(".weight"), fused(".bias"), Split::output, tp, setup.rows(),
                                "layer", 3),
                         linear("attention.output", Split::input), heads, setup.cp,
                         setup.recompute == Recompute::selective ? Attention::Core::recomputed
                                                                 : Attention::Core::kept),
               norm("ffn_norm"),
               Mlp(linear("ffn.input", Split::output), config.activation,
                   linear("ffn.output", Split::input), setup.gelu_in_products),
               config.norm, config.dropout);
}

}  // namespace

struct Stage::Saved {
  Front::Saved front;
  std::vector<Layer::Saved> layers;
  Head::Saved head;
};

void Stage::SavedDeleter::operator()(Saved* saved) const { delete saved; }

std::size_t Stage::bytes_of(const Saved& saved) {
  Footprint footprint;
  footprint.add(saved.front, saved.head);
  for (const Layer::Saved& layer : saved.layers)
    std::visit([&](const auto& kept) { footprint.add(kept); }, layer);
  return footprint.bytes();
}

struct Stage::Parts {
  index_t width = 0;
  DType dtype = DType::f32;
  Device device;
  RowShard shard;
  std::optional<Front> front;
  std::vector<Layer> layers;
  std::optional<Head> head;
  index_t head_position = 0;  // in the plan; the front is at 0, layer l at 1 + l

  // A context that knows which rows the layers of this rank see.
  Context here(const Context& given) const {
    Context context = given;
    context.shard = shard;
    return context;
  }

  void head_weights(Head::Saved& saved, const Context& context) const {
    head->backward_weight(saved, context);
    context.layer_done(head_position);
  }
  void layer_weights(std::size_t i, Layer::Saved& saved, const Context& context) const {
    layers[i].backward_weight(saved, context);
    context.layer_done(index_t{1} + layers[i].number);
  }
  void front_weights(Front::Saved& saved, const Context& context) const {
    front->backward_weight(saved, context);
    context.layer_done(0);
  }

  // Front and layers. Without `saved` (evaluation) each layer's memory goes before the next.
  Tensor run(const Batch& batch, const Bundle& input, Saved* saved, const Context& context) const {
    Front::Saved front_saved;
    Tensor x = front ? front->forward(batch, saved ? saved->front : front_saved, context) : input.x;
    front_saved = {};
    assert(x.rows() * shard.size == batch.rows());
    for (std::size_t i = 0; i < layers.size(); ++i) {
      Layer::Saved dropped;
      x = layers[i].forward(x, saved ? saved->layers[i] : dropped, context);
    }
    return x;
  }
};

Stage::Stage(const ModelConfig& config, StageRange range, ParameterStore& store, StageSetup setup)
    : parts_(std::make_unique<Parts>()) {
  Group& tp = setup.tp;
  config.validate();
  config.validate_layout(tp.size(), 1);
  parts_->width = config.width;
  parts_->head_position = config.layers + 1;
  parts_->dtype = store.values().dtype();
  parts_->device = store.values().device();
  if (setup.sequence_parallel) parts_->shard = {tp.rank(), tp.size()};
  require(config.head_size > 0, "the model's head size is not resolved");
  assert(range.first >= 0 && range.first < range.last && range.last <= config.layers + 2);
  if (range.first == 0) parts_->front.emplace(config, store, tp, setup.rows());
  for (index_t position = std::max(range.first, index_t{1});
       position < std::min(range.last, config.layers + 1); ++position) {
    const index_t index = position - 1;
    Block block = make_block(config, index, store, setup);
    const auto number = static_cast<std::uint32_t>(index);
    if (setup.recompute == Recompute::full) {
      parts_->layers.push_back({number, Recomputed<Block>(std::move(block))});
    } else {
      parts_->layers.push_back({number, std::move(block)});
    }
  }
  if (range.last == config.layers + 2) parts_->head.emplace(config, store, tp, setup.rows());
}

Stage::~Stage() = default;
Stage::Stage(Stage&&) noexcept = default;

bool Stage::first() const { return parts_->front.has_value(); }
bool Stage::last() const { return parts_->head.has_value(); }

std::vector<TensorSpec> Stage::border(index_t N) const {
  return {{"x", {N / parts_->shard.size, parts_->width}, parts_->dtype, true, parts_->device}};
}

Stage::SavedHandle Stage::make_saved() const {
  SavedHandle saved(new Saved);
  saved->layers.resize(parts_->layers.size());
  return saved;
}

Bundle Stage::forward(const Batch& batch,
                      const Bundle& input,
                      Saved& saved,
                      const Context& given) const {
  const Context context = parts_->here(given);
  const Tensor x = parts_->run(batch, input, context.training ? &saved : nullptr, context);
  if (!last()) return {x, input.memory, input.g};
  Head::Saved dropped;
  parts_->head->forward(batch, x, context.training ? saved.head : dropped, context);
  return {};
}

Bundle Stage::backward_input(const Batch& batch,
                             const Bundle& dout,
                             Saved& saved,
                             const Context& given) const {
  const Context context = parts_->here(given);
  Tensor dx = last() ? parts_->head->backward_input(batch, saved.head, context) : dout.x;
  for (std::size_t i = parts_->layers.size(); i-- > 0;) {
    dx = parts_->layers[i].backward_input(dx, saved.layers[i], context);
  }
  if (!first()) return {dx, dout.memory, dout.g};
  parts_->front->backward_input(dx, saved.front, context);
  return {};
}

// In the order of backward(): the tied table's gradient is the same bits either way.
void Stage::backward_weight(const Batch&, Saved& saved, const Context& given) const {
  const Context context = parts_->here(given);
  if (last()) parts_->head_weights(saved.head, context);
  for (std::size_t i = parts_->layers.size(); i-- > 0;) {
    parts_->layer_weights(i, saved.layers[i], context);
  }
  if (first()) parts_->front_weights(saved.front, context);
}

Bundle Stage::backward(const Batch& batch,
                       const Bundle& dout,
                       Saved& saved,
                       const Context& given) const {
  Context context = parts_->here(given);
  context.weights_follow = true;
  Tensor dx = dout.x;
  if (last()) {
    dx = parts_->head->backward_input(batch, saved.head, context);
    parts_->head_weights(saved.head, context);
  }
  for (std::size_t i = parts_->layers.size(); i-- > 0;) {
    dx = parts_->layers[i].backward_input(dx, saved.layers[i], context);
    parts_->layer_weights(i, saved.layers[i], context);
  }
  if (!first()) return {dx, dout.memory, dout.g};
  parts_->front->backward_input(dx, saved.front, context);
  parts_->front_weights(saved.front, context);
  return {};
}

Tensor Stage::logits(const Batch& batch, const Bundle& input, const Context& given) const {
  const Context context = parts_->here(given);
  assert(last());
  return parts_->head->logits(batch, parts_->run(batch, input, nullptr, context), context);
}

std::vector<LossTerm> loss_terms(const ModelConfig& config) {
  std::vector<LossTerm> terms(1);
  terms[0].name = config.objective == Objective::causal ? "lm" : "mlm";
  if (config.objective == Objective::mlm_nsp) terms.emplace_back().name = "nsp";
  return terms;
}

void add_counts(std::vector<LossTerm>& terms, const Batch& batch) {
  const auto counted = [](const Tensor& ids) {
    std::int64_t count = 0;
    for (index_t i = 0; i < ids.count(); ++i) count += ids.data<std::int32_t>()[i] >= 0 ? 1 : 0;
    return count;
  };
  terms[0].count += counted(batch.target_ids);
  if (terms.size() > 1) terms[1].count += counted(batch.labels);
}

}  // namespace lockstep
