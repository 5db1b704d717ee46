// Ops launched as graphs do what they do one by one, and nothing before they are launched.
#include <cstring>
#include <functional>
#include <numeric>

#include "core/op_graph.hpp"
#include "core/ops/attention.hpp"
#include "core/ops/elementwise.hpp"
#include "tests/support/cuda.hpp"
#include "tests/support/error_of.hpp"

namespace lockstep {
namespace {

using test::gpu;
using test::on_cpu;

class CudaGraph : public test::CudaTest {
 protected:
  // What x holds after `ops` ran `times` times, as a graph from the third time on.
  static Tensor after(OpGraph& graph, int times, const std::function<void(Tensor&, int)>& ops) {
    Tensor x = Tensor::zeros({1000}, DType::f32, gpu);
    for (int i = 0; i < times; ++i) graph.run([&] { ops(x, i); });
    return on_cpu(x);
  }
};

void expect_equal(const Tensor& x, const Tensor& expected) {
  EXPECT_EQ(std::memcmp(x.raw(), expected.raw(), x.bytes()), 0);
}

// With an argument, memory and a copy that differ each time.
void step(Tensor& x, int i) {
  std::vector<float> numbers(1000);
  std::iota(numbers.begin(), numbers.end(), static_cast<float>(i));
  const Tensor sent = Tensor::from(numbers, {1000}).to(gpu);
  scale(x, 1.0 + 0.25 * i);
  add(x, x, sent);
}

TEST_F(CudaGraph, ChangesArgumentsWithoutANewGraph) {
  OpGraph off, on(gpu);

  const Tensor expected = after(off, 7, step), x = after(on, 7, step);

  expect_equal(x, expected);
  EXPECT_EQ(on.num_launched(), 5);
  EXPECT_EQ(on.num_made(), 1);
  EXPECT_EQ(off.num_launched(), 0);
}

TEST_F(CudaGraph, IsMadeAnewWhenOtherOpsCome) {
  const auto growing = [](Tensor& x, int i) {
    for (int j = 0; j <= i / 4; ++j) step(x, i + j);
  };
  OpGraph off, on(gpu);

  expect_equal(after(on, 10, growing), after(off, 10, growing));
  EXPECT_EQ(on.num_launched(), 8);
  EXPECT_EQ(on.num_made(), 3);
}

TEST_F(CudaGraph, RunsNothingOfOpsThatThrow) {
  OpGraph graph(gpu);
  Tensor x = Tensor::empty({4}, DType::f32, gpu);
  for (int i = 0; i < 3; ++i) graph.run([&] { fill(x, 1); });

  const auto broken = [&] {
    graph.run([&] {
      fill(x, 2);
      fail("no further");
    });
  };
  EXPECT_EQ(test::error_of(broken).message, "no further");
  EXPECT_EQ(on_cpu(x).data<float>()[0], 1);

  graph.run([&] { fill(x, 3); });
  EXPECT_EQ(on_cpu(x).data<float>()[3], 3);
}

TEST_F(CudaGraph, RefusesToWaitForWhatHasNotRun) {
  OpGraph graph(gpu);
  Tensor x = Tensor::zeros({4}, DType::f32, gpu);
  for (int i = 0; i < 2; ++i) graph.run([&] { (void)on_cpu(x); });

  EXPECT_TRUE(test::error_of([&] { graph.run([&] { (void)on_cpu(x); }); }).names("CUDA: "));
  EXPECT_EQ(on_cpu(x).data<float>()[0], 0);
}

// One more position each time: cuDNN makes a plan for each, and CUDA forbids that meanwhile.
AttentionSpec spec_of(int i) {
  AttentionSpec spec;
  spec.B = 1;
  spec.T_q = spec.T_k = 4 + i;
  spec.heads = spec.kv_heads = 2;
  spec.head_size = 8;
  spec.mask = Mask::causal;
  spec.kernels = AttentionKernels::deterministic;
  return spec;
}

void attend(Tensor& x, int i) {
  const AttentionSpec spec = spec_of(i);
  step(x, i);
  const Tensor qkv = x.range(0, spec.T_q * 48).reshape({spec.T_q, 48});
  Tensor y = Tensor::empty({spec.T_q, 16}, DType::f32, gpu);
  Tensor lse = Tensor::empty({1, 2, spec.T_q}, DType::f32, gpu);
  attention_forward(y, lse, qkv.column_range(0, 16), qkv.column_range(16, 16),
                    qkv.column_range(32, 16), spec);
  Tensor rest = x.range(0, y.count());
  rest.copy_from(y.reshape({y.count()}));
}

TEST_F(CudaGraph, EndsWhereALibraryPreparesAShape) {
  OpGraph off, on(gpu);

  const Tensor x = after(on, 6, attend), expected = after(off, 6, attend);

  expect_equal(x, expected);
  const bool prepared = why_plain_attention(gpu, spec_of(0)).empty();
  EXPECT_EQ(on.num_launched(), prepared ? 0 : 4);
  expect_equal(after(on, 6, attend), expected);
  EXPECT_EQ(on.num_launched(), prepared ? 6 : 10);
}

TEST_F(CudaGraph, OnTheCpuOpsRunAtOnce) {
  OpGraph graph(Device{});
  Tensor x = Tensor::zeros({1}, DType::f32);

  for (int i = 1; i < 5; ++i) {
    graph.run([&] { fill(x, i); });
    EXPECT_EQ(x.data<float>()[0], static_cast<float>(i));
  }
  EXPECT_EQ(graph.num_launched(), 0);
}

}  // namespace
}  // namespace lockstep
