#include "parallel/pipeline/runner.hpp"

#include <gtest/gtest.h>

#include "tests/core/ops/gradcheck.hpp"
#include "tests/parallel/pipeline/lists.hpp"
#include "tests/parallel/pipeline/small_models.hpp"
#include "tests/support/mpi.hpp"
#include "tests/support/tolerance.hpp"

namespace lockstep::test {
namespace {

// All of it on one rank.
Model whole_model(const ModelConfig& config) {
  return Model(config, make_schedule("1f1b", 1, 1), 0, DType::f64);
}

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
               const std::string& name,
               const std::vector<Batch>& batches,
               DType dtype) const {
    const Schedule schedule = make_schedule(name, pp(), static_cast<int>(batches.size()));
    Model model(config, schedule, pp_rank(), dtype);
    PipelineRunner runner(model.stages, topology_, schedule);
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
    const Stage& stage = whole.stages.front();
    const Stage::SavedHandle saved = stage.make_saved();
    stage.forward(batch, {}, *saved, context);
    stage.backward(batch, {}, *saved, context);
  }
  return result;
}

void expect_same_sums(const std::vector<LossTerm>& a, const std::vector<LossTerm>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_EQ(a[i].sum.value(), b[i].sum.value()) << a[i].name;
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
  for (ModelConfig config : {small_gpt(), small_bert()}) {
    config.layers = 2 * pp();
    for (int M : {1, 3, 4, 8}) {
      std::vector<index_t> samples(static_cast<std::size_t>(M), 2);
      samples[0] = 1;
      const std::vector<Batch> batches = make_batches(config, samples);
      Model whole = whole_model(config);
      const Result expected = train_whole(whole, batches);
      for (const Schedule& schedule : all_schedules(pp(), M)) {
        Model part(config, schedule, pp_rank(), DType::f64);
        PipelineRunner runner(part.stages, topology_, schedule);
        std::vector<LossTerm> terms = counted_terms(config, batches);

        runner.run({batches}, training_context(terms));

        // A stage computes what the whole computes there, in the same order.
        if (part.stages.back().last()) expect_same_sums(expected.terms, terms);
        for (const ParameterRow& row : whole.table.rows()) {
          const Tensor gradient = whole.store.get(row.name).gradient;
          Tensor sum = Tensor::zeros(gradient.shape(), DType::f64);
          if (part.store.has(row.name)) sum.copy_from(part.store.get(row.name).gradient);
          topology_.pp().all_reduce(sum, Reduce::sum, "test");
          // Only a tied parameter is summed over stages, in another order than in the whole.
          const index_t terms_summed = static_cast<index_t>(row.uses.size()) * M * 2 * T;
          EXPECT_LE(relative_error(sum, gradient), tolerance(DType::f64, terms_summed))
              << schedule.name << " " << row.name;
        }
      }
    }
  }
}

TEST_F(Runner, OnlyTheLastStageHasLossSums) {
  const ModelConfig config = small_bert();

  const Result result = train(config, "1f1b", make_batches(config, sizes), DType::f32);

  for (const LossTerm& term : result.terms)
    EXPECT_EQ(term.sum.value() != 0, on_last()) << term.name;
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
  const Schedule schedule = make_schedule("1f1b", pp(), 3);
  Model model(config, schedule, pp_rank(), DType::f64);
  PipelineRunner runner(model.stages, topology_, schedule);
  std::vector<LossTerm> once = counted_terms(config, batches), again = once;

  runner.run({batches}, training_context(once));
  const Tensor first = model.store.gradients().clone();
  model.store.gradients().fill_zero();
  runner.run({batches}, training_context(again));

  EXPECT_TRUE(same_bits(first, model.store.gradients()));
  expect_same_sums(once, again);
}

TEST_F(Runner, EvaluatesAnyNumberOfMicrobatches) {
  for (ModelConfig config : {small_gpt(), small_bert()}) {
    config.layers = 2 * pp();
    for (const std::vector<index_t>& counts :
         {std::vector<index_t>{},
          {0},
          {3},
          {1, 0, 2, 3, 1, 0, 2, 2, 1, 1, 1, 1, 1, 1, 2, 1, 3, 1}}) {
      const std::vector<Batch> batches = make_batches(config, counts);
      const Model whole = whole_model(config);
      std::vector<LossTerm> expected = counted_terms(config, batches);
      for (const Batch& batch : batches) {
        if (batch.B == 0) continue;
        Context context = training_context(expected);
        context.training = false;
        context.batch = batch.view();
        const Stage& stage = whole.stages.front();
        stage.forward(batch, {}, *stage.make_saved(), context);
      }
      for (const Schedule& schedule : all_schedules(pp(), 2 * pp())) {
        const Model part(config, schedule, pp_rank(), DType::f64);
        PipelineRunner runner(part.stages, topology_, schedule);
        std::vector<LossTerm> terms = counted_terms(config, batches);

        runner.evaluate(batches, training_context(terms));

        const bool has_head = part.stages.back().last();
        for (std::size_t i = 0; i < terms.size(); ++i) {
          EXPECT_EQ(terms[i].sum.value(), has_head ? expected[i].sum.value() : 0) << schedule.name;
          EXPECT_EQ(terms[i].correct, has_head ? expected[i].correct : 0) << schedule.name;
        }
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
  const Schedule fits = make_schedule("1f1b", pp(), 2);
  const Model model(config, fits, pp_rank(), DType::f64);
  const auto refusal = [&](Schedule schedule) {
    return error_of([&] { PipelineRunner(model.stages, topology_, std::move(schedule)); });
  };
  Schedule broken = fits;
  broken.actions[0].pop_back();

  EXPECT_NE(refusal(make_schedule("1f1b", pp() + 1, 2)).find("--pp is " + std::to_string(pp())),
            std::string::npos);
  EXPECT_NE(refusal(make_schedule("zb-v", pp(), 2 * pp())).find("2 stages per rank"),
            std::string::npos);
  EXPECT_NE(refusal(broken).find("B1 is missing on rank 0"), std::string::npos);
  PipelineRunner runner(model.stages, topology_, fits);
  std::vector<LossTerm> terms = loss_terms(config);
  EXPECT_NE(error_of([&] {
              runner.run({make_batches(config, {1})}, training_context(terms));
            }).find("1 microbatches does not fit a schedule of 2"),
            std::string::npos);
}

}  // namespace
}  // namespace lockstep::test
