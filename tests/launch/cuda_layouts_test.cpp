// Layouts of ranks that share a GPU against one rank on the CPU: losses and gradient norms of three
// steps, each parameter's gradient in the first.
#include "tests/launch/layouts.hpp"
#include "tests/support/cuda.hpp"

namespace lockstep {
namespace {

using test::bert;
using test::environment;
using test::expect_like_one_rank;
using test::gpt;
using test::gpu;
using test::Layout;

Layout layout_of(int ranks) {
  if (ranks == 1) return {"one rank", {}, 2, "1f1b", false, false, Recompute::selective};
  if (ranks == 2) return {"dp 2 zero", {.dp = 2}, 1, "1f1b", false, true};
  return {"tp 2 pp 2 sp zb-h1", {.pp = 2, .tp = 2}, 2, "zb-h1", true};
}

class CudaLayouts : public test::CudaTest {
 protected:
  static void expect_follows(const ModelConfig& model,
                             DType precision,
                             AttentionKernels attention = AttentionKernels::plain,
                             GpuOptions options = {}) {
    Layout layout = layout_of(environment().size());
    layout.device = gpu;
    layout.attention = attention;
    layout.gpu = options;
    layout.samples = 4;  // emulated kernels take their time
    expect_like_one_rank(model, layout, precision);
  }
};

TEST_F(CudaLayouts, GptTrainsAsOnOneRankOfTheCpu) { expect_follows(gpt(2), DType::f32); }

TEST_F(CudaLayouts, BertTrainsAsOnOneRankOfTheCpu) { expect_follows(bert(2), DType::f32); }

TEST_F(CudaLayouts, GptTrainsInBf16AsOnOneRankOfTheCpu) { expect_follows(gpt(2), DType::bf16); }

TEST_F(CudaLayouts, BertTrainsInBf16AsOnOneRankOfTheCpu) { expect_follows(bert(2), DType::bf16); }

// With dropout, and rows of padding in BERT's. Where cuDNN is not there the plain kernels do it.
TEST_F(CudaLayouts, ModelsThatAttendByCudnnTrainAsOnOneRankOfTheCpu) {
  for (ModelConfig model : {gpt(2), bert(2)}) {
    model.head_size = 8;
    expect_follows(model, DType::bf16, AttentionKernels::cudnn);
  }
}

// Rows of the feed-forward part that the products may keep: multiples of 8, also of two ranks.
ModelConfig gpt_with_wide_ffn() {
  ModelConfig model = gpt(2);
  model.activation = Activation::gelu_tanh;
  model.ffn_width = 32;
  return model;
}

TEST_F(CudaLayouts, GptWithGeluInProductsTrainsAsOnOneRankOfTheCpu) {
  expect_follows(gpt_with_wide_ffn(), DType::f32, AttentionKernels::plain, {.gelu_epilogue = true});
}

TEST_F(CudaLayouts, GptWithGeluInProductsTrainsInBf16AsOnOneRankOfTheCpu) {
  expect_follows(gpt_with_wide_ffn(), DType::bf16, AttentionKernels::plain,
                 {.gelu_epilogue = true});
}

}  // namespace
}  // namespace lockstep
