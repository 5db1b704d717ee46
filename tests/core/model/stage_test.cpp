// Whole tiny models: gradients against differences; B and W apart, recompute, microbatches and
// stages change nothing.
#include "core/model/stage.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "core/model/unpad.hpp"
#include "tests/core/model/tiny.hpp"

namespace lockstep {
namespace {

using test::tiny_batch;
using test::tiny_bert;
using test::tiny_gpt;
using test::TinyModel;
using test::value_at;

constexpr index_t T = 7;
const char* const tied = "embeddings.token.weight";

void expect_equal(const Tensor& a, const Tensor& b, const std::string& name) {
  ASSERT_EQ(a.shape(), b.shape()) << name;
  for (index_t i = 0; i < a.count(); ++i)
    ASSERT_EQ(value_at(a, i), value_at(b, i)) << name << " " << i;
}

void expect_gradients(const ModelConfig& config, Recompute recompute = Recompute::none) {
  TinyModel model(config, 1, recompute);
  const std::vector<Batch> batches{tiny_batch(config, 2, T, true)};
  model.train(batches);
  std::vector<test::Checked> tensors;
  for (const auto& entry : model.store().entries()) {
    tensors.push_back({entry.row->name, entry.parameter.value, entry.parameter.gradient.clone()});
  }

  for (const auto& error : test::gradient_errors([&] { return model.loss(batches); }, tensors, 5)) {
    EXPECT_LE(error.error, test::gradient_bound) << error.name;
  }
}

TEST(Stage, GptGradientsAgreeWithDifferences) { expect_gradients(tiny_gpt()); }

TEST(Stage, BertGradientsAgreeWithDifferences) { expect_gradients(tiny_bert()); }

TEST(Stage, GradientsAgreeForGptVariants) {
  ModelConfig post = tiny_gpt();
  post.norm = NormPlace::post;
  post.positions = Positions::sinusoidal;
  expect_gradients(post);

  ModelConfig bare = tiny_gpt();
  bare.bias = false;
  bare.activation = Activation::gelu;
  expect_gradients(bare, Recompute::full);

  ModelConfig wide = tiny_gpt();
  wide.head_size = 5;  // heads * head_size is not the width
  expect_gradients(wide);
}

TEST(Stage, GradientsAgreeForBertVariants) {
  ModelConfig pre = tiny_bert();
  pre.norm = NormPlace::pre;
  pre.activation = Activation::relu;
  pre.positions = Positions::sinusoidal;
  expect_gradients(pre, Recompute::full);

  ModelConfig nano = tiny_gpt();  // masked, without transform, segments and NSP
  nano.objective = Objective::mlm;
  nano.resolve(8, 1);
  expect_gradients(nano);

  ModelConfig sentences = nano;  // final norm, then both heads
  sentences.objective = Objective::mlm_nsp;
  expect_gradients(sentences);

  ModelConfig bare = tiny_bert();
  bare.bias = false;
  expect_gradients(bare);
}

TEST(Stage, BackwardApartRecomputedOrAtOnceIsTheSameBits) {
  for (const ModelConfig& config : {tiny_gpt(), tiny_bert()}) {
    TinyModel once(config, 1), apart(config, 1), recomputed(config, 1, Recompute::full);
    const std::vector<Batch> batches{tiny_batch(config, 2, T, true),
                                     tiny_batch(config, 1, T, true, 2)};

    const double loss = once.train(batches);

    EXPECT_EQ(apart.train(batches, true), loss);
    EXPECT_EQ(recomputed.train(batches), loss);
    expect_equal(apart.store().gradients(), once.store().gradients(), "apart");
    expect_equal(recomputed.store().gradients(), once.store().gradients(), "recomputed");
  }
}

TEST(Stage, MicrobatchesAddUpToTheWholeBatch) {
  for (const ModelConfig& config : {tiny_gpt(), tiny_bert()}) {
    TinyModel whole(config, 1), split(config, 1);

    const double loss = whole.train({tiny_batch(config, 4, T, true)});
    const double split_loss =
        split.train({tiny_batch(config, 1, T, true), tiny_batch(config, 3, T, true, 1)});

    const double bound = test::tolerance(DType::f64, 4 * T);
    EXPECT_NEAR(split_loss, loss, bound * loss);
    EXPECT_LE(test::relative_error(split.store().gradients(), whole.store().gradients()), bound);
  }
}

TEST(Stage, TwoStagesAreTheSameBitsAsOne) {
  for (const ModelConfig& config : {tiny_gpt(), tiny_bert()}) {
    TinyModel one(config, 1), two(config, 2);
    const std::vector<Batch> batches{tiny_batch(config, 2, T, true),
                                     tiny_batch(config, 2, T, true, 2)};

    EXPECT_EQ(two.train(batches), one.train(batches));

    for (const ParameterRow& row : one.table().rows()) {
      const Tensor gradient = two.gradient(row.name), expected = one.gradient(row.name);
      if (row.name == tied) {
        // One stage adds the front's rows into the head's sums, two stages add them apart.
        EXPECT_LE(test::relative_error(gradient, expected), test::tolerance(DType::f64, 4 * T));
      } else {
        expect_equal(gradient, expected, row.name);
      }
    }
  }
}

TEST(Stage, GradientsAddUpOverSteps) {
  const ModelConfig config = tiny_gpt();
  TinyModel model(config, 1);
  const std::vector<Batch> batches{tiny_batch(config, 2, T, false)};

  model.train(batches);
  const Tensor once = model.store().gradients().clone();
  model.train(batches);

  for (index_t i = 0; i < once.count(); ++i) {
    const double twice = 2 * value_at(once, i);
    EXPECT_NEAR(value_at(model.store().gradients(), i), twice,
                test::tolerance(DType::f64, 2 * T) * (1 + std::abs(twice)));
  }
}

TEST(Stage, PaddingIdsChangeNoLoss) {
  const ModelConfig config = tiny_bert();
  TinyModel model(config, 1);
  Batch batch = tiny_batch(config, 3, T, true);
  const double before = model.train({batch});
  const Tensor gradients = model.store().gradients().clone();

  batch.tokens = batch.tokens.clone();
  const auto length = static_cast<index_t>(value_at(batch.lengths, 1));
  ASSERT_LT(length, T);
  for (index_t t = length; t < T; ++t) batch.tokens.data<std::int32_t>()[T + t] = 12;
  model.store().gradients().fill_zero();

  EXPECT_EQ(model.train({batch}), before);
  expect_equal(model.store().gradients(), gradients, "gradients");
}

TEST(Stage, RowsOfPaddingMayBeLeftOut) {
  ModelConfig sinusoidal = tiny_bert();
  sinusoidal.positions = Positions::sinusoidal;
  for (const ModelConfig& config : {tiny_gpt(), tiny_bert(), sinusoidal}) {
    const Batch batch = tiny_batch(config, 4, T, true);  // lengths 7, 5, 6, 7
    TinyModel padded(config, 2);
    const double loss = padded.train({batch});
    for (const index_t multiple : {index_t{1}, T}) {
      const Batch unpadded = unpad(batch, multiple);
      ASSERT_EQ(unpadded.rows(), multiple == 1 ? 25 : 28 - (28 - 25) / T * T);
      TinyModel model(config, 2);

      EXPECT_NEAR(model.train({unpadded}), loss, test::tolerance(DType::f64, 4 * T) * loss);

      for (const ParameterRow& row : model.table().rows()) {
        EXPECT_LE(test::relative_error(model.gradient(row.name), padded.gradient(row.name)),
                  test::tolerance(DType::f64, 4 * T))
            << row.name;
      }
    }
  }
}

TEST(Stage, AMicrobatchWithoutTargetsAddsNothingToItsTerm) {
  ModelConfig config = tiny_gpt();
  config.objective = Objective::mlm;
  config.resolve(8, 1);
  TinyModel with(config, 1), without(config, 1);
  Batch empty = tiny_batch(config, 2, T, false, 2);
  empty.target_rows = empty.target_ids = Tensor::empty({0}, DType::i32);
  const Batch full = tiny_batch(config, 2, T, false);

  EXPECT_EQ(with.train({full, empty}), without.train({full}));
  expect_equal(with.store().gradients(), without.store().gradients(), "gradients");
}

TEST(Stage, EvaluationHasNoDropoutAndCountsCorrect) {
  const ModelConfig config = tiny_bert();
  ModelConfig plain = config;
  plain.dropout = plain.attention_dropout = 0;
  TinyModel dropping(config, 1), steady(plain, 1);
  const std::vector<Batch> batches{tiny_batch(config, 4, T, true)};

  const double loss = dropping.loss(batches, false);

  EXPECT_EQ(loss, steady.loss(batches, true));
  EXPECT_NE(loss, dropping.loss(batches, true));
  dropping.loss(batches, false);
  EXPECT_GE(dropping.terms()[0].correct + dropping.terms()[1].correct, 1);
  EXPECT_LE(dropping.terms()[1].correct, dropping.terms()[1].count);
}

TEST(Stage, LogitsGiveTheLoss) {
  for (const ModelConfig& config : {tiny_gpt(), tiny_bert()}) {
    TinyModel model(config, 1);
    const Batch batch = tiny_batch(config, 2, T, true);
    model.loss({batch}, false);

    const Tensor logits = model.logits(batch);

    ASSERT_EQ(logits.shape(), (Shape{batch.target_ids.count(), config.vocab_size}));
    double sum = 0;
    for (index_t i = 0; i < logits.rows(); ++i) {
      double exponentials = 0;
      for (index_t v = 0; v < config.vocab_size; ++v) {
        exponentials += std::exp(value_at(logits, i * config.vocab_size + v));
      }
      const auto target = static_cast<index_t>(value_at(batch.target_ids, i));
      sum += std::log(exponentials) - value_at(logits, i * config.vocab_size + target);
    }
    EXPECT_NEAR(model.terms()[0].sum.value(), sum,
                test::tolerance(DType::f64, logits.count()) * sum);
  }
}

TEST(Stage, BorderIsTheActivation) {
  const ModelConfig config = tiny_gpt();
  const ParameterTable table(config);
  ParameterStore store(table, {0, 2}, 0, 1, DType::f32, {});
  LocalGroup one;
  const Stage stage(config, {0, 2}, store, {one, one});

  const auto border = stage.border(3 * T);

  ASSERT_EQ(border.size(), 1u);
  EXPECT_EQ(border[0].shape, (Shape{3 * T, 6}));
  EXPECT_EQ(border[0].dtype, DType::f32);
}

TEST(LossTerms, CountTargetsAndSequences) {
  const ModelConfig config = tiny_bert();
  auto terms = loss_terms(config);
  Batch batch = tiny_batch(config, 3, T, false);
  batch.target_ids.data<std::int32_t>()[0] = -1;

  add_counts(terms, batch);
  add_counts(terms, batch);

  ASSERT_EQ(terms.size(), 2u);
  EXPECT_EQ(terms[0].name, "mlm");
  EXPECT_EQ(terms[0].count, 2 * (batch.target_ids.count() - 1));
  EXPECT_EQ(terms[1].name, "nsp");
  EXPECT_EQ(terms[1].count, 6);
  EXPECT_EQ(loss_terms(tiny_gpt())[0].name, "lm");
}

}  // namespace
}  // namespace lockstep
