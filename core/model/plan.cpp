#include "core/model/plan.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "core/error.hpp"

namespace lockstep {
namespace {

// Share of positions that reach the vocabulary head: all of them, or BERT's 15 % (Devlin et al.
// 2019).
double predicted_share(Objective objective) { return objective == Objective::causal ? 1.0 : 0.15; }

double block_cost(const ModelConfig& config, double T) {
  const auto C = static_cast<double>(config.width), F = static_cast<double>(config.ffn_width);
  const index_t head_size = config.head_size == 0 ? config.width / config.heads : config.head_size;
  const auto A = static_cast<double>(config.heads * head_size);
  // Scores and their product with v, over all keys or, causal, half of them.
  const double keys = config.mask == Mask::causal ? T / 2 : T;
  return 4 * C * A + 2 * C * F + 2 * keys * A;
}

double head_cost(const ModelConfig& config) {
  const auto C = static_cast<double>(config.width), V = static_cast<double>(config.vocab_size);
  return predicted_share(config.objective) * (V * C + (config.mlm_transform ? C * C : 0));
}

// The cut of one plan. Costs are compared as differences of prefix sums, so that equal ranges
// compare equal.
class Partition {
 public:
  Partition(const std::vector<LayerSpec>& layers, int stages)
      : n_(static_cast<index_t>(layers.size())),
        stages_(stages),
        prefix_(layers.size() + 1),
        blocks_(layers.size() + 1) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      prefix_[i + 1] = prefix_[i] + layers[i].cost;
      blocks_[i + 1] = blocks_[i] + (layers[i].kind == LayerSpec::Kind::block ? 1 : 0);
    }
    solve();
  }

  std::vector<StageRange> ranges() const {
    std::vector<StageRange> ranges;
    index_t first = 0;
    for (int left = stages_ - 1; left >= 0; --left) {
      index_t last = first + 1;
      while (std::max(cost(first, last), least(left, last)) > least(stages_, 0)) ++last;
      ranges.push_back({first, last});
      first = last;
    }
    return ranges;
  }

 private:
  static constexpr double impossible = std::numeric_limits<double>::infinity();

  double cost(index_t first, index_t last) const {
    const auto a = static_cast<std::size_t>(first), b = static_cast<std::size_t>(last);
    return blocks_[b] == blocks_[a] ? impossible : prefix_[b] - prefix_[a];
  }
  // Least possible greatest cost of positions [first, n) cut into `stages`.
  double least(int stages, index_t first) const { return least_[slot(stages, first)]; }
  std::size_t slot(int stages, index_t first) const {
    return static_cast<std::size_t>(stages) * static_cast<std::size_t>(n_ + 1) +
           static_cast<std::size_t>(first);
  }

  void solve() {
    least_.assign(slot(stages_ + 1, 0), impossible);
    least_[slot(0, n_)] = 0;
    for (int stages = 1; stages <= stages_; ++stages) {
      for (index_t first = 0; first < n_; ++first) {
        double& best = least_[slot(stages, first)];
        for (index_t last = first + 1; last <= n_; ++last) {
          best = std::min(best, std::max(cost(first, last), least(stages - 1, last)));
        }
      }
    }
  }

  index_t n_;
  int stages_;
  std::vector<double> prefix_;
  std::vector<index_t> blocks_;
  std::vector<double> least_;
};

}  // namespace

std::vector<LayerSpec> plan_layers(const ModelConfig& config, index_t sequence_length) {
  const double block = block_cost(config, static_cast<double>(sequence_length));
  std::vector<LayerSpec> layers;
  // A look-up: about as many touched elements per token as it has columns.
  layers.push_back({LayerSpec::Kind::front, 0, 0, static_cast<double>(config.width)});
  for (index_t i = 0; i < config.layers; ++i)
    layers.push_back({LayerSpec::Kind::block, 0, i, block});
  layers.push_back({LayerSpec::Kind::head, 0, 0, head_cost(config)});
  return layers;
}

std::vector<StageRange> cut_stages(const std::vector<LayerSpec>& layers, int stages) {
  const auto blocks = std::count_if(layers.begin(), layers.end(), [](const LayerSpec& layer) {
    return layer.kind == LayerSpec::Kind::block;
  });
  require(stages >= 1, "a model is cut into at least 1 pipeline stage, not ", stages);
  require(stages <= blocks, "--pp: ", stages, " pipeline stages need at least ", stages,
          " --layers, there are ", blocks, ": lower --pp or --virtual-stages");
  return Partition(layers, stages).ranges();
}

StageMap::StageMap(std::vector<StageRange> stages, std::vector<int> held_by)
    : ranges(std::move(stages)), ranks(std::move(held_by)) {
  assert(ranges.size() == ranks.size());
}

StageMap::StageMap(std::vector<StageRange> one_a_rank)
    : ranges(std::move(one_a_rank)), ranks(ranges.size()) {
  std::iota(ranks.begin(), ranks.end(), 0);
}

int StageMap::num_ranks() const {
  return ranks.empty() ? 0 : *std::max_element(ranks.begin(), ranks.end()) + 1;
}

std::vector<StageRange> StageMap::of_rank(int rank) const {
  std::vector<StageRange> held;
  for (std::size_t stage = 0; stage < ranges.size(); ++stage) {
    if (ranks[stage] == rank) held.push_back(ranges[stage]);
  }
  return held;
}

std::vector<int> StageMap::ranks_with(const std::vector<index_t>& positions) const {
  std::set<int> found;
  for (std::size_t stage = 0; stage < ranges.size(); ++stage) {
    for (const index_t position : positions) {
      if (position >= ranges[stage].first && position < ranges[stage].last) {
        found.insert(ranks[stage]);
      }
    }
  }
  return {found.begin(), found.end()};
}

}  // namespace lockstep
