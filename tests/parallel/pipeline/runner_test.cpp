#include "parallel/pipeline/runner.hpp"

#include <algorithm>
#include <cstring>
#include <map>

#include <gtest/gtest.h>

#include "core/model/parameter_table.hpp"
#include "core/model/unpad.hpp"
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

// Microbatches of the given sizes, cut from one run of samples; every other one without padding.
std::vector<Batch> make_batches(const ModelConfig& config, const std::vector<index_t>& sizes) {
  std::vector<Batch> batches;
  index_t first = 100;
  for (index_t B : sizes) {
    const Batch batch = make_batch(config, B, first);
    batches.push_back(batches.size() % 2 == 0 ? batch : unpad(batch, 1));
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

// The stages of a model that one rank holds, with their weights; the gradients start at zero.
struct Model {
  ModelConfig config;
  ParameterTable table;
  ParameterStore store;
  LocalGroup tp;
  std::vector<Stage> stages;

  Model(const ModelConfig& c, const Schedule& schedule, int rank, DType dtype)
      : Model(c, stage_map(schedule, plan_layers(c, T)).of_rank(rank), dtype) {}
  Model(const ModelConfig& c, const std::vector<StageRange>& ranges, DType dtype)
      : config(c), table(config), store(table, ranges, 0, 1, dtype, Device{}) {
    for (const StageRange range : ranges)
      stages.emplace_back(config, range, store, StageSetup{tp, tp});
    store.initialize(seed);
    store.gradients().fill_zero();
  }
};

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

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
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

// Every schedule that M microbatches allow, one and several stages a rank.
std::vector<Schedule> all_schedules(int P, int M) {
  std::vector<Schedule> schedules;
  for (const char* name : {"gpipe", "1f1b", "zb-h1"})
    schedules.push_back(make_schedule(name, P, M));
  if (M % P == 0) schedules.push_back(make_schedule("interleaved", P, M, 2));
  if (M >= 2 * P) schedules.push_back(make_schedule("zb-v", P, M));
  return schedules;
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
          EXPECT_LE(test::relative_error(sum, gradient), tolerance(DType::f64, terms_summed))
              << schedule.name << " " << row.name;
        }
      }
    }
  }
}

// Keeps each parameter's gradient as it is when the last of its uses on this rank is told done.
class Finished final : public BackwardObserver {
 public:
  Finished(const ParameterStore& store, std::vector<StageRange> ranges)
      : store_(store), ranges_(std::move(ranges)) {}

  void op_done() override {}
  void layer_done(index_t position) override {
    positions.push_back(position);
    for (const auto& entry : store_.entries()) {
      const auto told = [&](index_t use) {
        return std::find(positions.begin(), positions.end(), use) != positions.end();
      };
      const auto& uses = entry.row->uses;
      const bool whole = std::all_of(uses.begin(), uses.end(),
                                     [&](index_t use) { return !here(use) || told(use); });
      if (whole && !gradients.contains(entry.row->name))
        gradients[entry.row->name] = entry.parameter.gradient.clone();
    }
  }

  bool here(index_t position) const {
    return std::any_of(ranges_.begin(), ranges_.end(), [&](StageRange range) {
      return position >= range.first && position < range.last;
    });
  }

  std::vector<index_t> positions;
  std::map<std::string, Tensor> gradients;

 private:
  const ParameterStore& store_;
  std::vector<StageRange> ranges_;
};

TEST_F(Runner, TellsWhenTheGradientsOfALayerAreWhole) {
  for (ModelConfig config : {small_gpt(), small_bert()}) {
    config.layers = 2 * pp();
    for (const int M : {1, 3, 8}) {
      std::vector<index_t> samples(static_cast<std::size_t>(M), 2);
      if (M > 1) samples.back() = 0;
      const std::vector<Batch> batches = make_batches(config, samples);
      for (const Schedule& schedule : all_schedules(pp(), M)) {
        const auto ranges = stage_map(schedule, plan_layers(config, T)).of_rank(pp_rank());
        Model part(config, ranges, DType::f64);
        Finished finished(part.store, ranges);
        PipelineRunner runner(part.stages, topology_, schedule);
        std::vector<LossTerm> terms = counted_terms(config, batches);
        Context context = training_context(terms);
        context.backward = &finished;

        runner.run({batches}, context);

        std::vector<index_t> positions;
        for (index_t position = 0; position < config.layers + 2; ++position)
          if (finished.here(position)) positions.push_back(position);
        std::sort(finished.positions.begin(), finished.positions.end());
        EXPECT_EQ(finished.positions, positions) << schedule.name << ", M " << M;
        EXPECT_EQ(finished.gradients.size(), part.store.entries().size());
        for (const auto& [name, gradient] : finished.gradients)
          EXPECT_TRUE(same_bits(gradient, part.store.get(name).gradient)) << name;
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
}  // namespace lockstep
