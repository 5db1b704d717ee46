// Block and Recomputed: gradients with everything on; recomputing changes no bit.
#include "core/nn/block.hpp"

#include <gtest/gtest.h>

#include "core/nn/recompute.hpp"
#include "tests/core/nn/fixture.hpp"

namespace lockstep {
namespace {

using test::expect_equal;
using test::make_context;
using test::NamedParameter;
using test::random_tensor;

static_assert(Module<Recomputed<Block>>);

constexpr index_t C = 6, F = 10;

struct BlockParts {
  std::vector<NamedParameter> parameters;
  LocalGroup tp;

  Parameter add(const std::string& name, Shape shape) {
    parameters.push_back({name, test::random_parameter(shape, parameters.size() + 1)});
    return parameters.back().parameter;
  }
  Linear linear(const std::string& name, index_t out, index_t in, Split split) {
    const Parameter weight = add(name + ".weight", {out, in});
    return Linear(weight, add(name + ".bias", {out}), split, tp);
  }
  LayerNorm norm(const std::string& name) {
    const Parameter weight = add(name + ".weight", {C});
    return LayerNorm(weight, add(name + ".bias", {C}), 1e-5);
  }
  Block block(NormPlace place, double dropout) {
    LayerNorm attention_norm = norm("attention_norm"), ffn_norm = norm("ffn_norm");
    Linear qkv = linear("qkv", 3 * C, C, Split::output),
           output = linear("output", C, C, Split::input);
    Linear in = linear("ffn.input", F, C, Split::output),
           out = linear("ffn.output", C, F, Split::input);
    return Block(attention_norm, Attention(qkv, output, {3, 2, 0, Mask::full, dropout}, tp),
                 ffn_norm, Mlp(in, Activation::gelu, out), place, dropout);
  }
};

TEST(Block, GradientsAgreeWithDifferencesForBothNormPlaces) {
  for (const NormPlace place : {NormPlace::pre, NormPlace::post}) {
    for (const double dropout : {0.0, 0.2}) {
      BlockParts parts;
      const Block block = parts.block(place, dropout);

      test::expect_small(test::module_errors(block, random_tensor({2 * 4, C}, DType::f64, 50),
                                             parts.parameters, make_context(2, 4, {4, 3})));
    }
  }
}

TEST(Recomputed, IsTheSameBitsAsTheModuleItself) {
  for (const NormPlace place : {NormPlace::pre, NormPlace::post}) {
    BlockParts parts, again;
    const Block block = parts.block(place, 0.2);
    const Recomputed<Block> recomputed(again.block(place, 0.2));
    const Tensor x = random_tensor({2 * 4, C}, DType::f64, 50),
                 dy = random_tensor({2 * 4, C}, DType::f64, 51);
    const Context context = make_context(2, 4, {4, 3});
    Block::Saved saved;
    Recomputed<Block>::Saved saved_again;

    expect_equal(recomputed.forward(x, saved_again, context), block.forward(x, saved, context),
                 "y");
    EXPECT_FALSE(saved_again.inner.mlp.hidden.defined());
    expect_equal(recomputed.backward_input(dy, saved_again, context),
                 block.backward_input(dy, saved, context), "dx");
    recomputed.backward_weight(saved_again, context);
    block.backward_weight(saved, context);

    for (std::size_t i = 0; i < parts.parameters.size(); ++i) {
      expect_equal(again.parameters[i].parameter.gradient, parts.parameters[i].parameter.gradient,
                   parts.parameters[i].name);
    }
  }
}

TEST(Block, DropoutDependsOnTheLayerAndTheStep) {
  BlockParts parts;
  const Block block = parts.block(NormPlace::pre, 0.3);
  const Tensor x = random_tensor({2 * 4, C}, DType::f64, 50);
  Context context = make_context(2, 4);
  const auto forward = [&](const Context& where) {
    Block::Saved saved;
    return block.forward(x, saved, where);
  };
  const Tensor y = forward(context);

  expect_equal(forward(context), y);
  EXPECT_GT(test::relative_error(forward(context.at(context.site.layer + 1)), y), 0.01);
  ++context.step;
  EXPECT_GT(test::relative_error(forward(context), y), 0.01);
}

}  // namespace
}  // namespace lockstep
