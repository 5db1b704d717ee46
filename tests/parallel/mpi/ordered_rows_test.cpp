// Sums over cut sequences in the order of whole ones: the bits of one rank.
#include "core/nn/ordered_rows.hpp"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "core/nn/head_exchange.hpp"
#include "core/nn/layer_norm.hpp"
#include "core/nn/linear.hpp"
#include "core/nn/ring_attention.hpp"
#include "tests/core/ops/gradcheck.hpp"
#include "tests/support/mpi.hpp"

namespace lockstep {
namespace {

using test::environment;
using test::random_tensor;
using test::same_bits;

constexpr index_t B = 4, T = 16, NH = 4, HS = 4, A = NH * HS;  // T: of whole samples

// The numbers of the rows of whole samples that a rank holds, in its order.
std::vector<index_t> rows_of(SequenceCut cut) {
  const index_t own = T / cut.size, S = cut.chunk_length(own);
  std::vector<index_t> rows;
  for (int i = 0; i < cut.num_chunks(); ++i) {
    for (index_t b = 0; b < B; ++b) {
      for (index_t s = 0; s < S; ++s) rows.push_back(b * T + cut.first_position(i, own) + s);
    }
  }
  return rows;
}

Tensor part_of(const Tensor& x, SequenceCut cut) {
  const std::vector<index_t> rows = rows_of(cut);
  Tensor part = Tensor::empty({static_cast<index_t>(rows.size()), x.columns()}, x.dtype());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    part.range(static_cast<index_t>(i), 1).copy_from(x.range(rows[i], 1));
  }
  return part;
}

Context context_of(SequenceCut cut, Group* cp, index_t data_shards) {
  Context context;
  context.batch = {B, T / cut.size, {}, {}, cut, {}};
  context.sums.fixed = true;
  context.sums.data_shards = data_shards;
  context.sums.cp = cp;
  return context;
}

class OrderedRowsOfAll : public testing::Test {
 protected:
  Group& cp = environment().world();
  SequenceCut cut{cp.rank(), cp.size()};
};

TEST_F(OrderedRowsOfAll, GatherThemInTheOrderOfSamples) {
  const Tensor x = random_tensor({B * T, 5}, DType::f32, 1);

  const OrderedRows rows(context_of(cut, &cp, 2));

  EXPECT_TRUE(same_bits(rows.whole(part_of(x, cut)), x));
  EXPECT_EQ(rows.order().num_chains(), 2);
  EXPECT_EQ(rows.order().ranges()[1].first, B * T / 2);
}

// Picked rows: some ranks may have none.
TEST_F(OrderedRowsOfAll, GatherPickedOnes) {
  const Tensor x = random_tensor({B * T, 3}, DType::f32, 1);
  const std::vector<index_t> wanted = {1, 2, 17, 40, 63}, mine = rows_of(cut);
  std::vector<std::int32_t> picked;
  for (std::size_t i = 0; i < mine.size(); ++i) {
    if (std::count(wanted.begin(), wanted.end(), mine[i]) > 0) {
      picked.push_back(static_cast<std::int32_t>(i));
    }
  }
  Context context = context_of(cut, &cp, 4);
  context.sums.picked = Tensor::from(picked, {static_cast<index_t>(picked.size())});
  const Tensor own = part_of(x, cut);
  Tensor part = Tensor::empty({context.sums.picked.count(), 3}, DType::f32);
  for (index_t i = 0; i < part.rows(); ++i) {
    part.range(i, 1).copy_from(own.range(picked[static_cast<std::size_t>(i)], 1));
  }

  const OrderedRows rows(context);
  const Tensor all = rows.whole(part);

  ASSERT_EQ(all.rows(), static_cast<index_t>(wanted.size()));
  for (index_t i = 0; i < all.rows(); ++i) {
    EXPECT_TRUE(same_bits(all.range(i, 1), x.range(wanted[static_cast<std::size_t>(i)], 1))) << i;
  }
  // Rows 0 to 15 are data shard 0, 16 to 31 shard 1, ...
  std::vector<index_t> counts;
  for (const SumRange& range : rows.order().ranges()) counts.push_back(range.count);
  EXPECT_EQ(counts, (std::vector<index_t>{2, 1, 1, 1}));
}

TEST_F(OrderedRowsOfAll, GiveWeightGradientsTheBitsOfOneRank) {
  const Tensor x = random_tensor({B * T, 6}, DType::f32, 1),
               dy = random_tensor({B * T, 5}, DType::f32, 2);
  for (const index_t data_shards : {1, 4}) {
    Tensor dweight = Tensor::zeros({5, 6}, DType::f32), dbias = Tensor::zeros({5}, DType::f32);
    Tensor expected = dweight.clone(), expected_bias = dbias.clone();
    add_weight_gradient(expected, expected_bias, dy, x, context_of({}, nullptr, data_shards));

    add_weight_gradient(dweight, dbias, part_of(dy, cut), part_of(x, cut),
                        context_of(cut, &cp, data_shards));
    cp.all_reduce(dweight, Reduce::sum, "gradient");
    cp.all_reduce(dbias, Reduce::sum, "gradient");

    EXPECT_TRUE(same_bits(dweight, expected)) << data_shards;
    EXPECT_TRUE(same_bits(dbias, expected_bias)) << data_shards;
  }
}

// Over cp by samples, or over tp by rows of the microbatch.
TEST_F(OrderedRowsOfAll, GiveNormGradientsTheBitsOfOneRank) {
  const Tensor x = random_tensor({B * T, 6}, DType::f32, 1),
               dy = random_tensor({B * T, 6}, DType::f32, 2);
  const auto gradient = [&](const Tensor& rows, const Tensor& drows, const Context& context,
                            Group* tp) {
    const Parameter weight{random_tensor({6}, DType::f32, 3), Tensor::zeros({6}, DType::f32)};
    const LayerNorm norm(weight, {}, 1e-5, tp);
    LayerNorm::Saved saved;
    norm.forward(rows, saved, context);
    norm.backward_input(drows, saved, context);
    norm.backward_weight(saved, context);
    Tensor sum = weight.gradient;
    cp.all_reduce(sum, Reduce::sum, "replicated");
    return sum;
  };
  const Context alone = context_of({}, nullptr, 2);
  Tensor expected = Tensor::zeros({6}, DType::f32);
  if (cp.rank() == 0) {
    const Parameter weight{random_tensor({6}, DType::f32, 3), expected};
    const LayerNorm norm(weight, {}, 1e-5);
    LayerNorm::Saved saved;
    norm.forward(x, saved, alone);
    norm.backward_input(dy, saved, alone);
    norm.backward_weight(saved, alone);
  }
  cp.all_reduce(expected, Reduce::sum, "replicated");

  const Span own = span_of(B * T, cp.rank(), cp.size());
  EXPECT_TRUE(same_bits(
      gradient(part_of(x, cut), part_of(dy, cut), context_of(cut, &cp, 2), nullptr), expected));
  EXPECT_TRUE(
      same_bits(gradient(x.range(own.first, own.count), dy.range(own.first, own.count), alone, &cp),
                expected));
}

TEST_F(OrderedRowsOfAll, GiveAttentionTheBitsOfOneRank) {
  AttentionSpec whole;
  whole.B = B;
  whole.T_q = whole.T_k = T;
  whole.heads = whole.kv_heads = NH;
  whole.head_size = HS;
  whole.scale = 0.5;
  whole.mask = Mask::causal;
  whole.lengths = Tensor::from<std::int32_t>({T, 11, 3, T}, {B});
  whole.dropout = 0.25;
  whole.dropout_key = {3, 4};
  whole.sample_ids = Tensor::from<std::int64_t>({5, 9, 1000, 7}, {B});
  const Tensor qkv = random_tensor({B * T, 3 * A}, DType::f32, 1),
               dy = random_tensor({B * T, A}, DType::f32, 2);
  Tensor y = Tensor::empty({B * T, A}, DType::f32), lse = Tensor::empty({B, NH, T}, DType::f32);
  Tensor dqkv = Tensor::empty(qkv.shape(), DType::f32), y_heads, lse_heads;
  LocalGroup one;
  ring_attention_forward(y, lse, qkv, whole, {}, one);
  ring_attention_backward(dqkv, dy, qkv, y, lse, whole, {}, one);
  AttentionSpec own = whole;
  own.T_q = own.T_k = T / cut.size;

  const Tensor qkv_part = part_of(qkv, cut);
  const Tensor y_part = exchanged_attention_forward(y_heads, lse_heads, qkv_part, own, cut, cp);
  const Tensor dqkv_part =
      exchanged_attention_backward(part_of(dy, cut), qkv_part, y_heads, lse_heads, own, cut, cp);

  EXPECT_TRUE(same_bits(y_part, part_of(y, cut)));
  EXPECT_TRUE(same_bits(dqkv_part, part_of(dqkv, cut)));
}

}  // namespace
}  // namespace lockstep
