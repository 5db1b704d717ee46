// Steps whose work is launched as graphs have the bits of steps without.
#include <tuple>
#include <vector>

#include "tests/launch/layouts.hpp"
#include "tests/support/cuda.hpp"

namespace lockstep {
namespace {

using test::environment;
using test::gpu;
using test::Layout;

constexpr std::int64_t num_steps = 3;

struct Figures {
  std::vector<double> losses, norms;
  std::int64_t made = 0, launched = 0;
};

Figures train(const ModelConfig& model, const Layout& layout, DType precision, bool graphs) {
  TrainerConfig config = test::trainer_config(model, layout, precision);
  config.gpu.cuda_graph = graphs;
  Trainer trainer(environment(), config);
  trainer.initialize();
  const MakeBatch batches = test::batches(config.model, layout);
  Figures run;
  for (std::int64_t step = 1; step <= num_steps; ++step) {
    const StepBatch batch = batches(step, {});
    const StepAgreement agreement = trainer.agree(batch, {});
    StepResult result = trainer.compute_gradients(batch, step, agreement.terms);
    trainer.apply_gradients(step, 1e-2 / static_cast<double>(step), result);
    run.losses.push_back(result.loss);
    run.norms.push_back(result.gradient_norm);
  }
  std::tie(run.made, run.launched) = trainer.graph_counts();
  return run;
}

class CudaGraphSteps : public test::CudaTest {
 protected:
  static void expect_same_bits(const ModelConfig& model,
                               DType precision,
                               Recompute recompute,
                               AttentionKernels attention = AttentionKernels::plain) {
    Layout layout{"one rank", {}, 2};
    layout.recompute = recompute;
    layout.device = gpu;
    layout.attention = attention;
    layout.samples = 4;

    const Figures plain = train(model, layout, precision, false);
    const Figures graphs = train(model, layout, precision, true);

    EXPECT_EQ(graphs.losses, plain.losses);
    EXPECT_EQ(graphs.norms, plain.norms);
    EXPECT_EQ(plain.launched, 0);
    // Two of the microbatches ran op by op. Padding changes which kernels run, not more.
    EXPECT_EQ(graphs.launched, 2 * (2 * num_steps - 2));
    EXPECT_EQ(graphs.made, 2);
  }
};

TEST_F(CudaGraphSteps, GptHasTheSameBits) {
  expect_same_bits(test::gpt(1), DType::f32, Recompute::none);
}

TEST_F(CudaGraphSteps, GptThatRecomputesHasTheSameBitsInBf16) {
  expect_same_bits(test::gpt(1), DType::bf16, Recompute::full);
}

// Where cuDNN is not there the plain kernels do it.
TEST_F(CudaGraphSteps, ModelsThatAttendByCudnnHaveTheSameBits) {
  for (ModelConfig model : {test::gpt(1), test::bert(1)}) {
    model.head_size = 8;
    expect_same_bits(model, DType::bf16, Recompute::none, AttentionKernels::deterministic);
  }
}

TEST_F(CudaGraphSteps, BertHasTheSameBits) {
  expect_same_bits(test::bert(1), DType::f32, Recompute::selective);
}

TEST_F(CudaGraphSteps, BertHasTheSameBitsInBf16) {
  expect_same_bits(test::bert(1), DType::bf16, Recompute::none);
}

}  // namespace
}  // namespace lockstep
