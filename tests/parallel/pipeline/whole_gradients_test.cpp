// What passes tell of gradients that get no more additions in a step, on every schedule.
#include <algorithm>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "tests/core/ops/gradcheck.hpp"
#include "tests/parallel/pipeline/small_models.hpp"
#include "tests/support/mpi.hpp"

namespace lockstep::test {
namespace {

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

TEST(BackwardPasses, TellWhenTheGradientsOfALayerAreWhole) {
  const Topology topology(environment(), {.dp = 1, .pp = environment().size(), .cp = 1, .tp = 1});
  const int pp = topology.degrees().pp, pp_rank = topology.pp_rank();
  for (ModelConfig config : {small_gpt(), small_bert()}) {
    config.layers = 2 * pp;
    for (const int M : {1, 3, 8}) {
      std::vector<index_t> samples(static_cast<std::size_t>(M), 2);
      if (M > 1) samples.back() = 0;
      const std::vector<Batch> batches = make_batches(config, samples);
      for (const Schedule& schedule : all_schedules(pp, M)) {
        const auto ranges = stage_map(schedule, plan_layers(config, T)).of_rank(pp_rank);
        Model part(config, ranges, DType::f64);
        Finished finished(part.store, ranges);
        PipelineRunner runner(part.stages, topology, schedule);
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

}  // namespace
}  // namespace lockstep::test
