// GradientSync on every layout of 1 to 4 ranks, against sums computed locally in the same order:
// equal, not close.
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.hpp"
#include "parallel/gradient/sync.hpp"
#include "tests/support/mpi.hpp"
#include "tests/support/tolerance.hpp"

namespace lockstep::test {
namespace {

// 12 heads: 1, 2, 3 and 4 tensor ranks divide them. 4 layers: as many stages. The 37 ids are padded
// to the tensor ranks.
ModelConfig tiny_config(int tp) {
  ModelConfig config;
  config.layers = 4;
  config.heads = 12;
  config.width = 12;
  config.ffn_width = 24;
  config.vocab_size = 37;
  config.max_positions = 8;
  config.resolve(1, tp);
  return config;
}

// What the use of a parameter on `stage` by replica `dp_rank` adds to element `index` of its
// canonical gradient.
float contribution(const ParameterRow& row, int stage, int dp_rank, index_t index) {
  const std::uint64_t where = mix(hash_name(row.name), static_cast<std::uint64_t>(index));
  const std::uint64_t bits = mix(where, static_cast<std::uint64_t>(100 * stage + dp_rank));
  return static_cast<float>(static_cast<double>(bits >> 11) * 0x1p-52 - 1.0);
}

// One rank of a layout with its parameters.
struct Model {
  Model(const Degrees& degrees, bool zero)
      : topology(environment(), degrees),
        config(tiny_config(degrees.tp)),
        table(config),
        stages(cut_stages(plan_layers(config, 8), degrees.pp)),
        store(table,
              stages[static_cast<std::size_t>(topology.pp_rank())],
              topology.tp_rank(),
              degrees.tp,
              DType::f32,
              {}),
        zero(zero),
        sync(store, topology, stages, zero) {}

  std::vector<int> users(const ParameterRow& row) const {
    std::vector<int> users;
    for (int stage = 0; stage < static_cast<int>(stages.size()); ++stage) {
      const StageRange range = stages[static_cast<std::size_t>(stage)];
      for (const index_t use : row.uses) {
        const bool inside = use >= range.first && use < range.last;
        if (inside && (users.empty() || users.back() != stage)) users.push_back(stage);
      }
    }
    return users;
  }

  // As the sums over ranks go, neighbours first: (r0 + r1) + (r2 + r3).
  static float sum_of(std::vector<float> parts) {
    for (std::size_t apart = 1; apart < parts.size(); apart *= 2) {
      for (std::size_t left = 0; left + apart < parts.size(); left += 2 * apart)
        parts[left] += parts[left + apart];
    }
    return parts[0];
  }

  // The gradient of the global batch: over the replicas of each stage, then over the stages; with
  // ZeRO-1 what stages share over the stages of each replica first.
  float total(const ParameterRow& row, index_t index) const {
    std::vector<float> replicas(static_cast<std::size_t>(topology.degrees().dp));
    float total = 0;
    for (const int stage : users(row)) {
      std::vector<float> of_stage;
      for (std::size_t r = 0; r < replicas.size(); ++r) {
        of_stage.push_back(contribution(row, stage, static_cast<int>(r), index));
        replicas[r] += of_stage.back();
      }
      total += sum_of(of_stage);
    }
    return zero ? sum_of(replicas) : total;
  }

  // visit(flat offset, row, index in the canonical parameter) for each element here that is not
  // padding.
  template <typename Visit>
  void for_each_element(const Visit& visit) const {
    for (const auto& entry : store.entries()) {
      const Rectangle& local = entry.rectangle;
      for (index_t r = local.row0; r < std::min(local.row1, entry.row->canonical_rows()); ++r) {
        for (index_t c = local.col0; c < local.col1; ++c) {
          const index_t offset = entry.offset + (r - local.row0) * local.columns() + c - local.col0;
          visit(offset, *entry.row, r * entry.row->canonical_columns() + c);
        }
      }
    }
  }

  void fill_gradients() {
    Tensor gradients = store.gradients();
    gradients.fill_zero();
    for_each_element([&](index_t offset, const ParameterRow& row, index_t index) {
      gradients.data<float>()[offset] =
          contribution(row, topology.pp_rank(), topology.dp_rank(), index);
    });
  }

  // Elements of the own span that differ from the total.
  index_t wrong_sums() const {
    const Span own = sync.own_span();
    index_t wrong = 0;
    for_each_element([&](index_t offset, const ParameterRow& row, index_t index) {
      if (offset < own.first || offset >= own.first + own.count) return;
      if (store.gradients().data<float>()[offset] != total(row, index)) ++wrong;
    });
    return wrong;
  }

  double norm_of_table() const {
    double sum = 0;
    for (const ParameterRow& row : table.rows()) {
      for (index_t i = 0; i < row.shape.count(); ++i) {
        const double g = total(row, i);
        sum += g * g;
      }
    }
    return std::sqrt(sum);
  }

  Topology topology;
  ModelConfig config;
  ParameterTable table;
  std::vector<StageRange> stages;
  ParameterStore store;
  bool zero;
  GradientSync sync;
};

std::vector<Degrees> layouts() {
  std::vector<Degrees> all;
  const int ranks = environment().size();
  for (int pp = 1; pp <= ranks; ++pp) {
    for (int tp = 1; tp <= ranks; ++tp) {
      if (ranks % (pp * tp) == 0) all.push_back(resolve_degrees(ranks, 0, pp, 1, tp));
    }
  }
  return all;
}

std::string print(const Degrees& degrees) {
  return build_string("dp ", degrees.dp, " pp ", degrees.pp, " tp ", degrees.tp);
}

class OnEveryLayout : public testing::TestWithParam<bool> {
 protected:
  bool zero() const { return GetParam(); }
};

TEST_P(OnEveryLayout, FinishSumsOverStagesAndReplicasInOrder) {
  for (const Degrees& degrees : layouts()) {
    Model model(degrees, zero());
    model.fill_gradients();

    model.sync.finish();

    EXPECT_EQ(model.wrong_sums(), 0) << print(degrees);
  }
}

// As passes tell it; this replica is ahead of the others or behind them.
TEST_P(OnEveryLayout, SumsBegunBesideThePassesAreTheSame) {
  for (const Degrees& degrees : layouts()) {
    Model model(degrees, zero());
    const StageRange range = model.stages[static_cast<std::size_t>(model.topology.pp_rank())];
    for (int step = 0; step < 2; ++step) {
      model.fill_gradients();

      BackwardObserver* observer = model.sync.begin();
      EXPECT_EQ(observer != nullptr, degrees.dp > 1) << print(degrees);
      const bool tells = observer != nullptr && model.topology.dp_rank() != step;
      for (index_t position = range.last; tells && position-- > range.first;) {
        observer->op_done();
        observer->layer_done(position);
      }
      model.sync.finish();

      EXPECT_EQ(model.wrong_sums(), 0) << print(degrees);
    }
  }
}

TEST_P(OnEveryLayout, NormCountsEachElementOnceWithTheSameBitsOnAllRanks) {
  for (const Degrees& degrees : layouts()) {
    Model model(degrees, zero());
    model.fill_gradients();
    model.sync.finish();

    const double norm = model.sync.norm();

    const double expected = model.norm_of_table();
    EXPECT_NEAR(norm / expected, 1, tolerance(DType::f64, model.table.count())) << print(degrees);
    Tensor of_rank_0 = Tensor::from<double>({norm}, {1});
    environment().world().broadcast(of_rank_0, 0, "test");
    EXPECT_EQ(norm, of_rank_0.data<double>()[0]) << print(degrees);
  }
}

TEST_P(OnEveryLayout, OwnSpansCoverTheBufferAndGatherBringsTheStepToAll) {
  for (const Degrees& degrees : layouts()) {
    Model model(degrees, zero());
    const Span own = model.sync.own_span();
    Tensor values = model.store.values();
    values.fill_zero();
    for (index_t i = 0; i < own.count; ++i) {
      values.data<float>()[own.first + i] = static_cast<float>(own.first + i + 1);
    }

    model.sync.gather_values();

    index_t wrong = 0;
    for (index_t i = 0; i < values.count(); ++i) {
      if (values.data<float>()[i] != static_cast<float>(i + 1)) ++wrong;
    }
    EXPECT_EQ(wrong, 0) << print(degrees);
    EXPECT_EQ(own.count < values.count(), zero() && degrees.dp > 1) << print(degrees);
  }
}

// Over all ranks; elements of rows of this axis and purpose.
index_t total_elements(const std::string& axis, const std::string& what) {
  index_t elements = 0;
  for (const TrafficRow& row : environment().sum_traffic(environment().traffic())) {
    if (row.axis == axis && row.what == what) elements += row.elements;
  }
  return elements;
}

TEST_P(OnEveryLayout, TrafficIsAtTheFloor) {
  for (const Degrees& degrees : layouts()) {
    Model model(degrees, zero());
    Tensor held = Tensor::from<std::int64_t>({model.store.count()}, {1});
    model.topology.model().all_reduce(held, Reduce::sum, "test");
    environment().reset_traffic();

    model.sync.finish();
    model.sync.gather_values();

    const index_t S = held.data<std::int64_t>()[0], g = degrees.dp;
    const index_t V = model.config.padded_vocab, C = model.config.width;
    EXPECT_EQ(total_elements("dp", "gradient"), (zero() ? 1 : 2) * (g - 1) * S) << print(degrees);
    EXPECT_EQ(total_elements("dp", "parameter"), zero() ? (g - 1) * S : 0) << print(degrees);
    EXPECT_EQ(total_elements("pp", "tied"), degrees.pp > 1 ? 2 * V * C * g : 0) << print(degrees);
  }
}

INSTANTIATE_TEST_SUITE_P(GradientSync,
                         OnEveryLayout,
                         testing::Bool(),
                         [](const testing::TestParamInfo<bool>& info) {
                           return std::string(info.param ? "ShardedMoments" : "WholeMoments");
                         });

TEST(GradientSync, RefusesStagesOfAnotherLayout) {
  const Topology topology(environment(), {.dp = environment().size()});
  const ModelConfig config = tiny_config(1);
  const ParameterTable table(config);
  const std::vector<StageRange> two = cut_stages(plan_layers(config, 8), 2);
  ParameterStore store(table, two[0], 0, 1, DType::f32, {});

  EXPECT_THROW(GradientSync(store, topology, two, false), Error);
}

}  // namespace
}  // namespace lockstep::test
