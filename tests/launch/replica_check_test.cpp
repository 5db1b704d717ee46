// Replicas that compute each other's microbatches: equal bits pass, and what differs is named. Of a
// gradient alone; weights that differ are tried by the drill in tests/end_to_end.
#include "launch/replica_check.hpp"

#include <gtest/gtest.h>

#include "launch/reproducible.hpp"
#include "parallel/pipeline/schedules.hpp"
#include "tests/core/model/tiny.hpp"
#include "tests/data/corpus/fixture.hpp"
#include "tests/support/mpi.hpp"

namespace lockstep {
namespace {

using test::environment;

constexpr index_t samples = 8, B = 2, T = 8;

class ReplicaCheckTest : public Scratch {
 protected:
  // Each rank a corpus of its own, of equal bytes.
  LoaderConfig data() const {
    const CorpusBuild build = build_of("corpus", {write("a.txt", prose(40, 5))});
    build_corpus(build, {});
    LoaderConfig config;
    config.corpora = {{build.output}};
    config.sequence_length = T;
    config.global_batch_size = samples;
    config.microbatch_size = B;
    config.seed = 7;
    config.dp_degree = environment().size();
    config.dp_rank = environment().rank();
    return config;
  }

  static TrainerConfig trainer_config() {
    TrainerConfig config;
    config.model = test::tiny_gpt();
    config.model.vocab_size = 300;
    config.model.resolve(8, 1);
    config.degrees.dp = environment().size();
    config.precision = DType::f32;
    config.schedule = make_schedule("1f1b", 1, static_cast<int>(samples / config.degrees.dp / B));
    config.sequence_length = T;
    config.clip_norm = 1;
    config.sums = fixed_order(config.model, config.degrees, samples, B);
    config.gradient_leaves = gradient_leaves(config.degrees, samples, B);
    return config;
  }
};

TEST_F(ReplicaCheckTest, NamesTheRanksWhoseGradientsDiffer) {
  const LoaderConfig config = data();
  Trainer trainer(environment(), trainer_config());
  trainer.initialize();
  ReplicaCheck check(environment(), trainer, config, 1);
  Loader loader(config);

  const StepBatch batch = loader.next(1);
  const std::vector<LossTerm> terms = trainer.agree(batch, {}).terms;
  check.recompute(1, terms);
  GradientDigests own;
  trainer.compute_gradients(batch, 1, terms, &own);
  EXPECT_NO_THROW(check.compare(1, own));

  if (environment().rank() == 1) own.back() += 1;
  std::string message;
  try {
    check.compare(1, own);
  } catch (const AgreedError& error) {
    message = error.what();
  }
  EXPECT_HAS(message, "a microbatch of rank 1, computed again on rank 0, has other gradients");
}

}  // namespace
}  // namespace lockstep
