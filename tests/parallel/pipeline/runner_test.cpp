#include "parallel/pipeline/runner.hpp"

#include <cstring>

#include <gtest/gtest.h>

#include "core/model/parameter_table.hpp"
#include "core/random.hpp"
#include "parallel/pipeline/schedules.hpp"
#include "tests/parallel/pipeline/lists.hpp"
#include "tests/support/mpi.hpp"
#include "tests/support/tolerance.hpp"

namespace lockstep {
namespace {

using test::environment;
using test::error_of;
using test::tolerance;

constexpr index_t T = 6;
constexpr std::uint64_t seed = 42;

// Small models with dropout: what a microbatch gets must not depend on when it runs.
ModelConfig small_gpt() {
  ModelConfig config;
  config.layers = 4;
  config.heads = 2;
  config.width = 8;
  config.ffn_width = 16;
  config.vocab_size = 13;
  config.max_positions = T;
  config.resolve(1, 1);
  return config;
}

ModelConfig small_bert() {
  ModelConfig config = small_gpt();
  config.segment_types = 2;
  config.norm = NormPlace::post;
  config.embedding_norm = config.mlm_transform = true;
  config.final_norm = config.scaled_residual_init = false;
  config.objective = Objective::mlm_nsp;
  config.mask = Mask::full;
  return config;
}

// B samples from global sample number `first` on; a masked model predicts every third position.
Batch make_batch(const ModelConfig& config, index_t B, index_t first) {
  const bool causal = config.objective == Objective::causal;
  std::vector<std::int32_t> tokens, segments, rows, ids, labels, lengths;
  std::vector<std::int64_t> samples;
  const auto draw = [&](index_t sample, index_t t) {
    const std::uint64_t bits =
        mix(static_cast<std::uint64_t>(sample), static_cast<std::uint64_t>(t));
    return static_cast<std::int32_t>(bits % static_cast<std::uint64_t>(config.vocab_size));
  };
  for (index_t b = 0; b < B; ++b) {
    const index_t sample = first + b, length = causal ? T : T - sample % 2;
    samples.push_back(sample);
    lengths.push_back(static_cast<std::int32_t>(length));
    labels.push_back(static_cast<std::int32_t>(sample % 2));
    for (index_t t = 0; t < T; ++t) {
      tokens.push_back(draw(sample, t));
      segments.push_back(t < T / 2 ? 0 : 1);
      if (t >= length || (!causal && t % 3 != 1)) continue;
      rows.push_back(static_cast<std::int32_t>(b * T + t));
      ids.push_back(draw(sample, t + 1));
    }
  }
  const auto vector = [](const auto& values) {
    return Tensor::from(values, {static_cast<index_t>(values.size())});
  };
  Batch batch;
  batch.B = B;
  batch.T = T;
  if (B == 0) return batch;
  batch.tokens = vector(tokens);
  batch.sample_ids = vector(samples);
  batch.target_rows = vector(rows);
  batch.target_ids = vector(ids);
  if (causal) return batch;
  batch.segments = vector(segments);
  batch.lengths = vector(lengths);
  batch.labels = vector(labels);
  return batch;
}

// Microbatches of the given sizes, cut from one run of samples.
std::vector<Batch> make_batches(const ModelConfig& config, const std::vector<index_t>& sizes) {
  std::vector<Batch> batches;
  index_t first = 100;
  for (index_t B : sizes) {
    batches.push_back(make_batch(config, B, first));
    first += B;
  }
  return batches;
}

std::vector<LossTerm> counted_terms(const ModelConfig& config, const std::vector<Batch>& batches) {
  std::vector<LossTerm> terms = loss_terms(config);
  for (const Batch& batch : batches) {
    if (batch.B > 0) add_counts(terms, batch);
  }
  return terms;
}

Context training_context(std::vector<LossTerm>& terms) {
  Context context;
  context.step = 1;
  context.seed = seed;
  context.terms = &terms;
  return context;
}

// Stage `index` of `stages` of a model with its weights; the gradients start at zero.
struct Model {
  ModelConfig config;
  ParameterTable table;
  ParameterStore store;
  LocalGroup tp;
  Stage stage;

  Model(const ModelConfig& c, int index, int stages, DType dtype)
      : Model(c, cut_stages(plan_layers(c, T), stages)[static_cast<std::size_t>(index)], dtype) {}
  Model(const ModelConfig& c, StageRange range, DType dtype)
      : config(c),
        table(config),
        store(table, range, 0, 1, dtype, Device{}),
        stage(config, range, store, tp, Recompute::none) {
    store.initialize(seed);
    store.gradients().fill_zero();
  }
};

struct Result {
  Tensor gradients;  // flat, of this rank's stage
  std::vector<LossTerm> terms;
};

class Runner : public ::testing::Test {
 protected:
  Runner() : topology_(environment(), {.dp = 1, .pp = environment().size(), .cp = 1, .tp = 1}) {}

  int pp() const { return topology_.degrees().pp; }
  int pp_rank() const { return topology_.pp_rank(); }
  bool on_last() const { return pp_rank() + 1 == pp(); }

  Result train(const ModelConfig& config,
               const std::string& schedule,
               const std::vector<Batch>& batches,
               DType dtype) const {
    Model model(config, pp_rank(), pp(), dtype);
    PipelineRunner runner(model.stage, config, dtype, topology_,
                          make_schedule(schedule, pp(), static_cast<int>(batches.size())));
    Result result{model.store.gradients(), counted_terms(config, batches)};
    runner.run({batches}, training_context(result.terms));
    return result;
  }

  Topology topology_;
};

// The whole model on this rank, microbatch after microbatch, without a runner.
Result train_whole(Model& whole, const std::vector<Batch>& batches) {
  Result result{whole.store.gradients(), counted_terms(whole.config, batches)};
  for (const Batch& batch : batches) {
    Context context = training_context(result.terms);
    context.batch = batch.view();
    const Stage::SavedHandle saved = whole.stage.make_saved();
    whole.stage.forward(batch, {}, *saved, context);
    whole.stage.backward(batch, {}, *saved, context);
  }
  return result;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

void expect_same_sums(const std::vector<LossTerm>& a, const std::vector<LossTerm>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].sum, b[i].sum) << a[i].name;
}

const std::vector<index_t> sizes = {2, 3, 1, 2};

std::vector<index_t> first_sizes(int M) { return {sizes.begin(), sizes.begin() + M}; }

TEST_F(Runner, EveryScheduleGivesTheBitsOfGpipe) {
  for (const ModelConfig& config : {small_gpt(), small_bert()}) {
    for (DType dtype : {DType::f32, DType::f64}) {
      for (int M = 1; M <= 4; ++M) {
        const std::vector<Batch> batches = make_batches(config, first_sizes(M));

        const Result gpipe = train(config, "gpipe", batches, dtype);
        for (const char* schedule : {"1f1b", "zb-h1"}) {
          const Result other = train(config, schedule, batches, dtype);
          EXPECT_TRUE(same_bits(gpipe.gradients, other.gradients)) << schedule << ", M " << M;
          expect_same_sums(gpipe.terms, other.terms);
        }
      }
    }
  }
}

TEST_F(Runner, StagesTogetherGiveTheLossAndGradientsOfOne) {
  for (const ModelConfig& config : {small_gpt(), small_bert()}) {
    for (int M = 1; M <= 4; ++M) {
      const std::vector<Batch> batches = make_batches(config, first_sizes(M));
      Model whole(config, 0, 1, DType::f64), part(config, pp_rank(), pp(), DType::f64);
      const Result expected = train_whole(whole, batches);
      PipelineRunner runner(part.stage, config, DType::f64, topology_,
                            make_schedule("1f1b", pp(), M));
      std::vector<LossTerm> terms = counted_terms(config, batches);

      runner.run({batches}, training_context(terms));

      // A stage computes what the whole computes there, in the same order.
      if (on_last()) expect_same_sums(expected.terms, terms);
      for (const ParameterRow& row : whole.table.rows()) {
        const Tensor gradient = whole.store.get(row.name).gradient;
        Tensor sum = Tensor::zeros(gradient.shape(), DType::f64);
        if (part.store.has(row.name)) sum.copy_from(part.store.get(row.name).gradient);
        topology_.pp().all_reduce(sum, Reduce::sum, "test");
        // Only a tied parameter is summed over stages, in another order than in the whole.
        const index_t terms_summed = static_cast<index_t>(row.uses.size()) * M * 3 * T;
        EXPECT_LE(test::relative_error(sum, gradient), tolerance(DType::f64, terms_summed))
            << row.name;
      }
    }
  }
}

TEST_F(Runner, OnlyTheLastStageHasLossSums) {
  const ModelConfig config = small_bert();

  const Result result = train(config, "1f1b", make_batches(config, sizes), DType::f32);

  for (const LossTerm& term : result.terms) EXPECT_EQ(term.sum != 0, on_last()) << term.name;
}

TEST_F(Runner, MicrobatchesWithoutSamplesAreLeftOut) {
  const ModelConfig config = small_gpt();

  const Result with = train(config, "1f1b", make_batches(config, {0, 2, 0, 3, 0}), DType::f64);
  const Result without = train(config, "1f1b", make_batches(config, {2, 3}), DType::f64);

  EXPECT_TRUE(same_bits(with.gradients, without.gradients));
  expect_same_sums(with.terms, without.terms);
}

TEST_F(Runner, RunsStepAfterStep) {
  const ModelConfig config = small_gpt();
  const std::vector<Batch> batches = make_batches(config, first_sizes(3));
  Model model(config, pp_rank(), pp(), DType::f64);
  PipelineRunner runner(model.stage, config, DType::f64, topology_, make_schedule("1f1b", pp(), 3));
  std::vector<LossTerm> once = counted_terms(config, batches), again = once;

  runner.run({batches}, training_context(once));
  const Tensor first = model.store.gradients().clone();
  model.store.gradients().fill_zero();
  runner.run({batches}, training_context(again));

  EXPECT_TRUE(same_bits(first, model.store.gradients()));
  expect_same_sums(once, again);
}

TEST_F(Runner, EvaluatesAnyNumberOfMicrobatches) {
  for (const ModelConfig& config : {small_gpt(), small_bert()}) {
    for (const std::vector<index_t>& counts :
         {std::vector<index_t>{}, {0}, {3}, {1, 0, 2, 3, 1, 0, 2, 2, 1}}) {
      const std::vector<Batch> batches = make_batches(config, counts);
      Model whole(config, 0, 1, DType::f64), part(config, pp_rank(), pp(), DType::f64);
      PipelineRunner runner(part.stage, config, DType::f64, topology_,
                            make_schedule("1f1b", pp(), 4));
      std::vector<LossTerm> expected = counted_terms(config, batches), terms = expected;
      for (const Batch& batch : batches) {
        if (batch.B == 0) continue;
        Context context = training_context(expected);
        context.training = false;
        context.batch = batch.view();
        whole.stage.forward(batch, {}, *whole.stage.make_saved(), context);
      }

      runner.evaluate(batches, training_context(terms));

      for (std::size_t i = 0; i < terms.size(); ++i) {
        EXPECT_EQ(terms[i].sum, on_last() ? expected[i].sum : 0) << terms[i].name;
        EXPECT_EQ(terms[i].correct, on_last() ? expected[i].correct : 0) << terms[i].name;
      }
    }
  }
}

TEST_F(Runner, SendsWhatThePipelineNeedsAndNoMore) {
  const ModelConfig config = small_gpt();
  const std::vector<Batch> batches = make_batches(config, sizes);
  environment().reset_traffic();

  train(config, "1f1b", batches, DType::f64);

  std::int64_t messages = 0, elements = 0;
  for (const TrafficRow& row : environment().traffic()) {
    if (row.what != "stage") continue;
    messages += row.messages;
    elements += row.elements;
  }
  // Each microbatch goes onward but from the last stage, and its gradient back but from the first.
  const int borders = (pp_rank() > 0 ? 1 : 0) + (on_last() ? 0 : 1);
  EXPECT_EQ(messages, borders * 4);
  EXPECT_EQ(elements, borders * (2 + 3 + 1 + 2) * T * config.width);
}

TEST_F(Runner, RefusesSchedulesThatDoNotFit) {
  const ModelConfig config = small_gpt();
  const Model model(config, pp_rank(), pp(), DType::f64);
  const auto refusal = [&](Schedule schedule) {
    return error_of(
        [&] { PipelineRunner(model.stage, config, DType::f64, topology_, std::move(schedule)); });
  };
  Schedule broken = make_schedule("1f1b", pp(), 2);
  broken.actions[0].pop_back();

  EXPECT_NE(refusal(make_schedule("1f1b", pp() + 1, 2)).find("--pp is " + std::to_string(pp())),
            std::string::npos);
  EXPECT_NE(refusal(make_schedule("zb-v", pp(), 2 * pp())).find("2 stages per rank"),
            std::string::npos);
  EXPECT_NE(refusal(broken).find("B1 is missing on rank 0"), std::string::npos);
  PipelineRunner runner(model.stage, config, DType::f64, topology_, make_schedule("1f1b", pp(), 2));
  std::vector<LossTerm> terms = loss_terms(config);
  EXPECT_NE(error_of([&] {
              runner.run({make_batches(config, {1})}, training_context(terms));
            }).find("1 microbatches does not fit a schedule of 2"),
            std::string::npos);
}

}  // namespace
}  // namespace lockstep
