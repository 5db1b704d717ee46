// The fused end of a branch: masks and sums of the GPU bit for bit, its norms against the CPU in
// fp64; 16-byte accesses and single elements, one row and none.
#include "core/ops/residual.hpp"

#include <cstring>

#include "tests/support/cuda.hpp"

namespace lockstep {
namespace {

using test::gpu;
using test::numbers;
using test::on_cpu;
using test::on_gpu;
using test::strided;
using test::tolerance;

class CudaResidual : public test::CudaTest {};

struct Case {
  index_t N, C;
  double probability;
  bool with_bias;
};
const Case cases[] = {{37, 43, 0.3, true},  {300, 68, 0.3, true}, {19, 68, 0.0, true},
                      {19, 68, 0.3, false}, {1, 5, 0.0, false},   {0, 8, 0.3, true}};

DropoutSpec spec_of(const Case& c, Device device) {
  const Tensor ids = Tensor::from<std::int64_t>({7, (std::int64_t{1} << 40) + 3, 5, 9}, {4});
  return {c.probability, philox_key(1, 2, 3), ids.to(device), 80, 2, 160};
}

struct Inputs {
  Tensor x, residual, dy, other, bias, weight, norm_bias;
};

struct Results {
  Tensor sum, y, dsum, dx, dsum_alone;
};

Inputs inputs_of(const Case& c) {
  const auto bias_if = [&](std::uint64_t seed) {
    return c.with_bias ? numbers({c.C}, seed) : Tensor();
  };
  return {numbers({c.N, c.C}, 1),
          numbers({c.N, c.C}, 2),
          numbers({c.N, c.C}, 3),
          numbers({c.N, c.C}, 4),
          bias_if(5),
          numbers({c.C}, 6),
          bias_if(7)};
}

Inputs there(const Inputs& in) {
  const auto there_if = [](const Tensor& x) { return x.defined() ? on_gpu(x) : Tensor(); };
  return {strided(on_gpu(in.x)), on_gpu(in.residual), on_gpu(in.dy),         on_gpu(in.other),
          there_if(in.bias),     on_gpu(in.weight),   there_if(in.norm_bias)};
}

Results run(const Inputs& in, const DropoutSpec& spec) {
  const auto empty = [&] { return Tensor::empty(in.dy.shape(), in.dy.dtype(), in.dy.device()); };
  Results r{empty(), empty(), empty(), empty(), empty()};
  Tensor mean = Tensor::empty({in.x.rows()}, in.dy.dtype(), in.dy.device()), rstd = mean.clone();
  Tensor none;
  residual_norm_forward(r.sum, r.y, mean, rstd, in.x, in.bias, in.residual, in.weight, in.norm_bias,
                        1e-5, spec);
  residual_norm_backward(r.dsum, r.dx, in.dy, in.other, r.sum, in.weight, mean, rstd, spec);
  residual_norm_backward(r.dsum_alone, none, in.dy, none, r.sum, in.weight, mean, rstd, spec);
  return r;
}

TEST_F(CudaResidual, FollowsTheCpuInBothDirections) {
  for (const Case& c : cases) {
    const Inputs in = inputs_of(c);

    const Results cpu = run(in, spec_of(c, Device{})), cuda = run(there(in), spec_of(c, gpu));

    const auto expect_near = [&](const Tensor& ours, const Tensor& reference) {
      EXPECT_LE(test::relative_error(on_cpu(ours), reference), tolerance(DType::f32, c.C))
          << c.N << " x " << c.C;
    };
    expect_near(cuda.sum, cpu.sum);
    expect_near(cuda.y, cpu.y);
    expect_near(cuda.dsum, cpu.dsum);
    expect_near(cuda.dx, cpu.dx);
    expect_near(cuda.dsum_alone, cpu.dsum_alone);
  }
}

TEST_F(CudaResidual, SumsHaveTheBitsOfTheCpu) {
  for (const Case& c : cases) {
    const Tensor x = test::random_tensor({c.N, c.C}, DType::f32, 1);
    const Tensor residual = test::random_tensor({c.N, c.C}, DType::f32, 2);
    const Tensor bias = c.with_bias ? test::random_tensor({c.C}, DType::f32, 3) : Tensor();
    Tensor sum = x.clone(), sum_gpu = x.to(gpu);

    residual_forward(sum, sum, bias, residual, spec_of(c, Device{}));
    residual_forward(sum_gpu, sum_gpu, c.with_bias ? bias.to(gpu) : Tensor(), residual.to(gpu),
                     spec_of(c, gpu));

    const Tensor back = on_cpu(sum_gpu);
    EXPECT_EQ(std::memcmp(back.raw(), sum.raw(), sum.bytes()), 0) << c.N << " x " << c.C;
  }
}

}  // namespace
}  // namespace lockstep
