// What a GPU's arena held at most in a step of one rank, against what was predicted.
#include "launch/memory.hpp"
#include "tests/launch/layouts.hpp"
#include "tests/support/cuda.hpp"

namespace lockstep {
namespace {

using test::environment;
using test::gpu;

constexpr index_t T = 96, B = 2;

// Large enough for tensors to outweigh what their sizes are rounded up to.
ModelConfig sized(ModelConfig model) {
  model.layers = 3;
  model.heads = 2;
  model.head_size = 16;
  model.width = 32;
  model.ffn_width = 128;
  model.vocab_size = 96;
  model.max_positions = T;
  model.resolve(8, 1);
  return model;
}

// Each in a process of its own: the most that was held is of the whole process.
class CudaMemory : public test::CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (!IsSkipped() && memory_use(gpu).peak > 0) GTEST_SKIP() << "other tests ran before";
  }

  static TrainerConfig config_of(const ModelConfig& model, DType precision) {
    TrainerConfig config;
    config.model = sized(model);
    config.precision = precision;
    config.device = gpu;
    config.schedule = make_schedule("1f1b", 1, 2);
    config.sequence_length = T;
    config.clip_norm = 1;
    config.seed = 3;
    return config;
  }

  // Never too little, and not much too much.
  static void expect_predicted(const TrainerConfig& config) {
    Trainer trainer(environment(), config);
    trainer.initialize();
    MemoryFacts facts;
    facts.microbatch_size = B;
    StepBatch batch;
    for (index_t m = 0; m < 2; ++m)
      batch.microbatches.push_back(
          test::tiny_batch(config.model, B, T, config.model.objective != Objective::causal, m * B));
    facts.predicted_share =
        static_cast<double>(batch.microbatches[0].target_ids.count()) / static_cast<double>(B * T);
    const StepAgreement agreement = trainer.agree(batch, {});
    StepResult result = trainer.compute_gradients(batch, 1, agreement.terms);
    trainer.apply_gradients(1, 1e-2, result);

    const MemoryParts measured = measure_memory(trainer, facts);
    const MemoryParts predicted = predict_memory(config, facts, 0, 0);

    const double share = predicted.total() / measured.total();
    EXPECT_GE(share, 1) << memory_text(predicted) << "; was " << memory_text(measured);
    EXPECT_LE(share, 1.15) << memory_text(predicted) << "; was " << memory_text(measured);
  }
};

TEST_F(CudaMemory, OfGptInFp32) { expect_predicted(config_of(test::gpt(), DType::f32)); }

TEST_F(CudaMemory, OfGptInBf16WithPlainAttention) {
  expect_predicted(config_of(test::gpt(), DType::bf16));
}

// Its logits, and the gradient of its table, are what is largest.
TEST_F(CudaMemory, OfALargeVocabularyWithTimedProducts) {
  TrainerConfig config = config_of(test::gpt(), DType::bf16);
  config.model.vocab_size = 2000;
  config.model.resolve(8, 1);
  config.timed_products = true;
  expect_predicted(config);
}

TEST_F(CudaMemory, OfGptThatAttendsByCudnn) {
  TrainerConfig config = config_of(test::gpt(), DType::bf16);
  config.attention = AttentionKernels::cudnn;
  expect_predicted(config);
}

TEST_F(CudaMemory, OfGptThatAttendsInOneOrderWithoutDropout) {
  TrainerConfig config = config_of(test::gpt(), DType::bf16);
  config.model.dropout = config.model.attention_dropout = 0;
  config.attention = AttentionKernels::deterministic;
  expect_predicted(config);
}

TEST_F(CudaMemory, OfGptThatRecomputes) {
  TrainerConfig config = config_of(test::gpt(), DType::bf16);
  config.attention = AttentionKernels::cudnn;
  config.recompute = Recompute::full;
  expect_predicted(config);
}

TEST_F(CudaMemory, OfBertThatAttendsByCudnn) {
  TrainerConfig config = config_of(test::bert(), DType::bf16);
  config.attention = AttentionKernels::cudnn;
  config.recompute = Recompute::selective;
  expect_predicted(config);
}

}  // namespace
}  // namespace lockstep
