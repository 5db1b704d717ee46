// A rank's gradients as a tree over data shards: the same bits for every number of microbatches.
#include "parallel/gradient/shard_tree.hpp"

#include <gtest/gtest.h>

#include "core/ops/elementwise.hpp"
#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using test::random_tensor;
using test::same_bits;

constexpr index_t n = 1000;

Tensor shard_gradient(int shard) {
  return random_tensor({n}, DType::f32, static_cast<std::uint64_t>(shard) + 1);
}

// The tree over shards [first, first + count), by recursion.
Tensor tree(int first, int count) {
  if (count == 1) return shard_gradient(first);
  Tensor sum = tree(first, count / 2);
  add(sum, sum, tree(first + count / 2, count / 2));
  return sum;
}

TEST(ShardTree, JoinsLeavesInABinaryTree) {
  for (const int leaves : {1, 2, 4, 8}) {
    Tensor gradients = Tensor::zeros({n}, DType::f32);
    ShardTree shards({gradients}, leaves, leaves);
    for (int leaf = 0; leaf < leaves; ++leaf) {
      add(gradients, gradients, shard_gradient(leaf));
      shards.microbatch_done(leaf);
    }
    EXPECT_TRUE(same_bits(gradients, tree(0, leaves))) << leaves;
  }
}

TEST(ShardTree, WaitsForTheLastMicrobatchOfALeaf) {
  Tensor gradients = Tensor::zeros({n}, DType::f32), half = shard_gradient(0);
  ShardTree shards({gradients}, 2, 4);
  for (int m = 0; m < 4; ++m) {
    add(gradients, gradients, shard_gradient(m));
    shards.microbatch_done(m);
  }

  Tensor left = shard_gradient(0), right = shard_gradient(2);
  add(left, left, shard_gradient(1));
  add(right, right, shard_gradient(3));
  add(left, left, right);
  EXPECT_TRUE(same_bits(gradients, left));
}

TEST(ShardTree, StartsAgainWithTheNextStep) {
  Tensor gradients = Tensor::zeros({n}, DType::f32);
  ShardTree shards({gradients}, 4, 4);
  for (int step = 0; step < 2; ++step) {
    gradients.fill_zero();
    for (int leaf = 0; leaf < 4; ++leaf) {
      add(gradients, gradients, shard_gradient(leaf));
      shards.microbatch_done(leaf);
    }
    EXPECT_TRUE(same_bits(gradients, tree(0, 4)));
  }
}

}  // namespace
}  // namespace lockstep
