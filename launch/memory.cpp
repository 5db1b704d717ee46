#include "launch/memory.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>

#include "core/model/activation_plan.hpp"
#include "core/nn/losses.hpp"
#include "launch/attention_choice.hpp"
#include "parallel/pipeline/saved_peak.hpp"

namespace lockstep {
namespace {

constexpr double bucket_scratch = 8 << 20;  // four buckets of 2 MiB (parallel/gradient/bucket)

using Numbers = std::array<double, 6>;

Numbers numbers_of(const MemoryParts& p) {
  return {p.parameters, p.gradients, p.optimizer, p.snapshot, p.activations, p.workspace};
}
MemoryParts parts_of(const double* n) { return {n[0], n[1], n[2], n[3], n[4], n[5]}; }

// Parameters of a rank: by name, and once more for each further use among its stages.
struct Counts {
  index_t once = 0, by_use = 0;
};

Counts count_parameters(const TrainerConfig& config,
                        const StageMap& stages,
                        int pp_rank,
                        int tp_rank) {
  const ParameterTable table(config.model, config.sequence_parallel);
  const std::vector<StageRange> ranges = stages.of_rank(pp_rank);
  Counts counts;
  for (const ParameterRow& row : table.rows()) {
    const index_t uses = std::count_if(row.uses.begin(), row.uses.end(), [&](index_t use) {
      return std::any_of(ranges.begin(), ranges.end(), [&](const StageRange& range) {
        return use >= range.first && use < range.last;
      });
    });
    const index_t count = local_rectangle(row, tp_rank, config.degrees.tp).count();
    if (uses > 0) counts.once += count;
    counts.by_use += uses * count;
  }
  return counts;
}

ActivationSetup activation_setup(const TrainerConfig& config) {
  ActivationSetup setup;
  setup.precision = config.precision;
  setup.tp = config.degrees.tp;
  setup.sequence_parallel = config.sequence_parallel;
  setup.recompute = config.recompute;
  setup.exchanges_heads = config.sums.fixed && config.degrees.cp > 1;
  setup.whole_logits = config.sums.keeps_rows_together();
  return setup;
}

MicrobatchSize microbatch_size(const TrainerConfig& config, const MemoryFacts& facts) {
  MicrobatchSize size;
  size.sentences = facts.microbatch_size;
  const auto positions =
      static_cast<double>(facts.microbatch_size * config.sequence_length / config.degrees.cp);
  size.rows = std::llround(facts.rows_share * positions);
  size.predicted = std::llround(facts.predicted_share * static_cast<double>(size.rows));
  return size;
}

// What a GPU takes at most in the backward pass of a block's attention: gradients as wide as the
// model that the block still holds, those of attention's output and of q, k and v, and the op's
// own; of a ring also keys, values and their gradients that come, go and stay, and parts.
index_t attention_workspace(const TrainerConfig& config, const MicrobatchSize& size, index_t n) {
  if (config.device.kind == Device::Kind::cpu) return 0;
  const ModelConfig& model = config.model;
  const index_t widths = model.norm == NormPlace::post ? 6 : 4;
  const index_t heads = size.rows * model.heads * model.head_size / config.degrees.tp;
  const index_t matrices = config.degrees.cp > 1 ? 4 + 14 : 4;
  return (widths * n * model.width + matrices * heads) *
             static_cast<index_t>(size_of(value_type(config.precision))) +
         attention_scratch_bytes(config.device, attention_spec(config, size.sentences), true);
}

// A chunk of logits, in bf16 with its rounded gradient (a single chunk's is kept), or the weight's
// gradient once more: a GPU's products are timed into results of their own.
index_t logits_workspace(const TrainerConfig& config, const MicrobatchSize& size) {
  const ModelConfig& model = config.model;
  const index_t chunk = std::min(size.predicted, VocabularyLoss::default_chunk_rows);
  const index_t V_local = model.padded_vocab / config.degrees.tp;
  const bool rounds = config.precision == DType::bf16 && chunk < size.predicted;
  const index_t rounded = rounds ? chunk * V_local * static_cast<index_t>(size_of(DType::bf16)) : 0;
  const bool times = config.timed_products && config.device.kind == Device::Kind::cuda;
  const index_t elements = std::max(chunk * V_local, times ? V_local * model.width : 0);
  const index_t inputs = (size.rows + 2 * size.predicted) * model.width;  // also as picked
  return (elements + inputs) * static_cast<index_t>(size_of(value_type(config.precision))) +
         rounded;
}

// The largest moment: in the backward pass of a block's mlp or of its attention (what the block
// kept is there again after a recompute), or with logits; and messages between stages, two either
// way.
double estimate_workspace(const TrainerConfig& config, const MicrobatchSize& size) {
  const ModelConfig& model = config.model;
  ActivationSetup setup = activation_setup(config);
  const StageRange a_block{1, 2};
  const index_t kept = activation_bytes(model, a_block, setup, size).after_forward;
  setup.recompute = Recompute::none;
  const index_t recomputed = activation_bytes(model, a_block, setup, size).after_forward - kept;
  const index_t tp = config.degrees.tp, N = size.rows;
  const index_t n = config.sequence_parallel ? N / tp : N, C = model.width;
  const auto bytes = static_cast<index_t>(size_of(value_type(config.precision)));
  const index_t mlp = (N * (2 * model.ffn_width / tp + C) + 2 * n * C) * bytes;
  const index_t block = std::max(mlp, attention_workspace(config, size, n)) + recomputed;
  const index_t messages = config.degrees.pp > 1 ? 4 * n * C * bytes : 0;
  return static_cast<double>(std::max(block, logits_workspace(config, size)) + messages);
}

}  // namespace

double MemoryParts::total() const {
  double total = 0;
  for (const double part : numbers_of(*this)) total += part;
  return total;
}

MemoryParts predict_memory(const TrainerConfig& config,
                           const MemoryFacts& facts,
                           int pp_rank,
                           int tp_rank) {
  const StageMap stages =
      stage_map(config.schedule, plan_layers(config.model, config.sequence_length));
  const Counts counts = count_parameters(config, stages, pp_rank, tp_rank);
  const MicrobatchSize size = microbatch_size(config, facts);
  std::vector<ActivationBytes> by_stage;
  for (const StageRange range : stages.ranges)
    by_stage.push_back(activation_bytes(config.model, range, activation_setup(config), size));

  const auto bytes = static_cast<double>(size_of(value_type(config.precision)));
  const int replicas = config.degrees.dp * config.degrees.cp;
  const auto once = bytes * static_cast<double>(counts.once);
  const double share = bytes * std::ceil(static_cast<double>(counts.once) / replicas);
  MemoryParts parts;
  parts.parameters = parts.gradients = once;
  const double rounded =
      static_cast<double>(counts.once) * static_cast<double>(size_of(DType::bf16));
  if (config.precision == DType::bf16) parts.parameters += rounded;  // as products read them
  if (config.sums.fixed) {  // levels of the tree of leaves are laid aside
    const int levels = std::bit_width(static_cast<unsigned>(config.gradient_leaves)) - 1;
    parts.gradients = bytes * static_cast<double>(counts.by_use) * (1 + levels);
  }
  parts.optimizer = 2 * (config.zero ? share : once);
  if (facts.snapshot) parts.snapshot = 3 * share;
  parts.activations = static_cast<double>(planned_peak_bytes(config.schedule, pp_rank, by_stage));
  parts.workspace = estimate_workspace(config, size);
  if (keeps_packed_weights(config)) parts.workspace += 2 * rounded;
  if (replicas > 1)
    parts.workspace = std::max(parts.workspace, std::min(bucket_scratch, parts.gradients));
  return parts;
}

MemoryParts measure_memory(const Trainer& trainer, const MemoryFacts& facts) {
  const OptimizerState state = trainer.optimizer_state();
  const ParameterStore& store = trainer.store();
  const Span share = span_of(store.count(), trainer.topology().replicas().rank(),
                             trainer.topology().replicas().size());
  MemoryParts parts;
  parts.parameters = static_cast<double>(store.values().bytes());
  if (store.rounded().defined()) parts.parameters += static_cast<double>(store.rounded().bytes());
  parts.gradients = static_cast<double>(trainer.gradient_bytes());
  parts.optimizer = static_cast<double>(state.m.bytes() + state.v.bytes());
  if (facts.snapshot)
    parts.snapshot =
        static_cast<double>(3 * share.count) * static_cast<double>(size_of(store.values().dtype()));
  parts.activations = static_cast<double>(trainer.pipeline().peak_saved_bytes());
  const auto all = static_cast<double>(memory_use(trainer.config().device).peak);
  // Not at the same moment as the activations' peak, perhaps: never less than nothing.
  parts.workspace = std::max(0.0, all - parts.total());
  return parts;
}

std::vector<StageMemory> memory_by_stage(const Trainer& trainer,
                                         const MemoryParts& predicted,
                                         const MemoryParts& measured) {
  constexpr index_t width = Numbers{}.size();
  const index_t stages = trainer.config().degrees.pp;
  Tensor most = Tensor::zeros({stages, 2 * width}, DType::f64);
  double* own = most.data<double>() + trainer.topology().pp_rank() * 2 * width;
  const Numbers first = numbers_of(predicted), second = numbers_of(measured);
  std::copy(first.begin(), first.end(), own);
  std::copy(second.begin(), second.end(), own + width);
  trainer.topology().world().all_reduce(most, Reduce::max, "memory");
  std::vector<StageMemory> by_stage;
  for (index_t stage = 0; stage < stages; ++stage) {
    const double* row = most.data<double>() + stage * 2 * width;
    by_stage.push_back({parts_of(row), parts_of(row + width)});
  }
  return by_stage;
}

std::string memory_text(const MemoryParts& parts) {
  constexpr std::array<const char*, 6> names{"parameters", "gradients",   "optimizer",
                                             "snapshot",   "activations", "workspace"};
  const bool large = parts.total() >= 1e9;
  const auto text = [large](double bytes) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, large ? "%.2f" : "%.1f", bytes / (large ? 1e9 : 1e6));
    return std::string(buffer);
  };
  std::string all = text(parts.total()) + (large ? " GB" : " MB");
  const Numbers numbers = numbers_of(parts);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] > 0)
      all += (i == 0 ? ": " : ", ") + std::string(names[i]) + " " + text(numbers[i]);
  }
  return all;
}

}  // namespace lockstep
