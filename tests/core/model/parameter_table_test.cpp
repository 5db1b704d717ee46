// Counts against the published models, rows and cuts, and initial weights that no cut changes.
#include "core/model/parameter_table.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "core/model/presets.hpp"
#include "tests/core/model/tiny.hpp"

namespace lockstep {
namespace {

using test::value_at;

index_t count_of(const std::string& preset, index_t vocab_size = 0) {
  ModelConfig config = find_preset(preset).config;
  if (vocab_size > 0) config.vocab_size = vocab_size;
  config.resolve(128, 1);
  return ParameterTable(config).count();
}

TEST(ParameterTable, CountsThePublishedModels) {
  EXPECT_EQ(count_of("gpt2-124m"), 124439808);
  EXPECT_EQ(count_of("gpt2-355m"), 354823168);
  EXPECT_EQ(count_of("gpt2-774m"), 774030080);
  EXPECT_EQ(count_of("gpt2-1558m"), 1557611200);
  // Encoder 109,482,240; transform 592,128, decoder bias 30,522; next-sentence classifier 1,538.
  EXPECT_EQ(count_of("bert-base"), 110106428);
  // 65 C + 64 C + 4 (12 C^2 + 2 C) + C, C = 128.
  EXPECT_EQ(count_of("gpt-nano"), 804096);
}

TEST(ParameterTable, NamesShapesAndUses) {
  const ModelConfig config = test::tiny_bert();
  const ParameterTable table(config);

  const ParameterRow& token = table.row("embeddings.token.weight");
  EXPECT_EQ(token.shape, (Shape{13, 6}));
  EXPECT_EQ(token.padded_rows, 16);
  EXPECT_EQ(token.uses, (std::vector<index_t>{0, 3}));
  EXPECT_TRUE(token.decay);
  EXPECT_FALSE(table.row("head.norm.weight").decay);
  EXPECT_EQ(table.row("head.decoder.bias").padded_rows, 16);
  EXPECT_EQ(table.row("layers.1.ffn.output.weight").cut.dim, 1);
  EXPECT_EQ(table.row("layers.1.ffn.output.bias").cut.kind, Cut::Kind::replicated);
  EXPECT_THROW(table.row("layers.2.ffn.output.bias"), Error);
}

TEST(ParameterTable, ScalesResidualProjections) {
  const ParameterTable table(find_preset("gpt2-124m").config);

  EXPECT_DOUBLE_EQ(table.row("layers.3.ffn.output.weight").init.stddev, 0.02 / std::sqrt(24.0));
  EXPECT_DOUBLE_EQ(table.row("layers.3.ffn.input.weight").init.stddev, 0.02);
}

TEST(ParameterStore, FusesQueryKeyAndValue) {
  const ModelConfig config = test::tiny_gpt();
  const ParameterTable table(config);
  ParameterStore store(table, {0, 4}, 0, 1, DType::f64, {});
  const std::string prefix = "layers.0.attention.";

  const Parameter fused =
      store.fused({prefix + "query.weight", prefix + "key.weight", prefix + "value.weight"});
  test::randomize(store);

  EXPECT_EQ(fused.value.shape(), (Shape{18, 6}));
  EXPECT_EQ(value_at(fused.value, 6 * 6), value_at(store.get(prefix + "key.weight").value, 0));
  EXPECT_EQ(store.fused({prefix + "key.weight", prefix + "value.weight"}).value.shape(),
            (Shape{12, 6}));
  EXPECT_THROW(store.fused({prefix + "query.weight", prefix + "value.weight"}), Error);
  EXPECT_FALSE(store.fused({"nothing"}).defined());
}

TEST(ParameterStore, HoldsWhatItsStageUses) {
  const ModelConfig config = test::tiny_gpt();
  const ParameterTable table(config);
  const ParameterStore first(table, {0, 2}, 0, 1, DType::f32, {}),
      second(table, {2, 4}, 0, 1, DType::f32, {});

  EXPECT_TRUE(first.has("embeddings.token.weight") && second.has("embeddings.token.weight"));
  EXPECT_TRUE(first.has("layers.0.ffn_norm.weight") && !second.has("layers.0.ffn_norm.weight"));
  EXPECT_TRUE(second.has("head.norm.weight") && !first.has("head.norm.weight"));
  EXPECT_THROW(second.get("embeddings.position.weight"), Error);
  EXPECT_FALSE(first.get_if("head.decoder.bias").defined());
}

TEST(ParameterStore, InitialisesTheSameWeightsForEveryCut) {
  ModelConfig config = test::tiny_bert();
  config.heads = 4;
  config.width = 12;
  config.ffn_width = 20;
  config.head_size = 0;
  config.resolve(8, 4);
  const ParameterTable table(config);
  ParameterStore whole(table, {0, 4}, 0, 1, DType::f32, {});
  whole.initialize(42);

  for (const int size : {1, 2, 4}) {
    for (int rank = 0; rank < size; ++rank) {
      ParameterStore part(table, {0, 4}, rank, size, DType::f32, {});
      part.initialize(42);
      for (const auto& entry : part.entries()) {
        const Tensor expected = whole.get(entry.row->name).value;
        const Rectangle& r = entry.rectangle;
        for (index_t i = 0; i < entry.parameter.value.count(); ++i) {
          const index_t row = r.row0 + i / r.columns(), column = r.col0 + i % r.columns();
          ASSERT_EQ(value_at(entry.parameter.value, i),
                    value_at(expected, row * entry.row->canonical_columns() + column))
              << entry.row->name << " rank " << rank << " of " << size;
        }
      }
    }
  }
}

TEST(ParameterStore, InitialWeightsHaveTheirSpreadAndPaddingIsZero) {
  ModelConfig config = find_preset("bert-tiny").config;
  config.vocab_size = 1000;
  config.resolve(128, 1);
  const ParameterTable table(config);
  ParameterStore store(table, {0, config.layers + 2}, 0, 1, DType::f32, {});
  store.initialize(1);

  const Tensor token = store.get("embeddings.token.weight").value;
  double squares = 0;
  for (index_t i = 0; i < 1000 * 128; ++i) squares += value_at(token, i) * value_at(token, i);
  // The variance of n normal numbers is off by sqrt(2 / n) of itself, 0.4 % here; five times that.
  EXPECT_NEAR(squares / (1000 * 128) / (0.02 * 0.02), 1, 5 * std::sqrt(2.0 / (1000 * 128)));
  for (index_t i = 1000 * 128; i < token.count(); ++i) ASSERT_EQ(value_at(token, i), 0);
  EXPECT_EQ(value_at(store.get("layers.0.ffn_norm.weight").value, 3), 1);
  EXPECT_EQ(value_at(store.get("layers.0.ffn_norm.bias").value, 3), 0);
}

}  // namespace
}  // namespace lockstep
