#include "core/ops/op_log.hpp"

#include <thread>

#include <gtest/gtest.h>

#include "core/ops/attention.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/gemm.hpp"

namespace lockstep {
namespace {

TEST(OpLog, NotesTheOpsOfItsThreadInOrder) {
  std::vector<OpEvent> log;
  std::thread([&] {
    Tensor a = Tensor::zeros({2, 3}, DType::f32), c = Tensor::zeros({2, 2}, DType::f32);
    add(a, a, a);
    EXPECT_TRUE(take_op_log().empty());
    start_op_log();
    add(a, a, a);
    gemm(c, a, Transpose::no, a, Transpose::yes);
    std::thread([&] { scale(a, 2); }).join();
    log = take_op_log();
    EXPECT_TRUE(take_op_log().empty());
  }).join();

  ASSERT_EQ(log.size(), 2u);
  EXPECT_EQ(log[0].op, "add");
  EXPECT_EQ(log[0].flops, 0);
  EXPECT_EQ(log[1].op, "gemm");
  EXPECT_EQ(log[1].flops, 2 * 2 * 3 * 2);
  EXPECT_LE(log[0].begin, log[0].end);
  EXPECT_LE(log[0].end, log[1].begin);
}

// Causal: 1 + 2 + 3 pairs of the first sample, 1 + 2 of the second.
TEST(OpLog, CountsWhatAttentionComputes) {
  AttentionSpec spec;
  spec.B = 2;
  spec.T_q = spec.T_k = 3;
  spec.heads = spec.kv_heads = 1;
  spec.head_size = 4;
  spec.mask = Mask::causal;
  spec.lengths = Tensor::from<std::int32_t>({3, 2}, {2});
  const Tensor q = Tensor::zeros({6, 4}, DType::f32);
  Tensor y = Tensor::zeros({6, 4}, DType::f32), lse = Tensor::zeros({6}, DType::f32);
  std::vector<OpEvent> log;

  std::thread([&] {
    start_op_log();
    attention_forward(y, lse, q, q, q, spec);
    log = take_op_log();
  }).join();

  ASSERT_EQ(log.size(), 1u);
  EXPECT_EQ(log[0].flops, 2 * 2 * 9 * 4);
}

}  // namespace
}  // namespace lockstep
