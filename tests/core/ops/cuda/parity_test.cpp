// Every op of the GPU in fp32 against the CPU in fp64, at sizes that fill neither warps nor packs,
// one row and none.
#include <functional>

#include "core/ops/activation.hpp"
#include "core/ops/adamw.hpp"
#include "core/ops/combine.hpp"
#include "core/ops/cross_entropy.hpp"
#include "core/ops/dropout.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/embedding.hpp"
#include "core/ops/layer_norm.hpp"
#include "tests/core/ops/gradcheck.hpp"
#include "tests/support/cuda.hpp"
#include "tests/support/loss.hpp"

namespace lockstep {
namespace {

using test::gpu;
using test::numbers;
using test::on_cpu;
using test::on_gpu;
using test::same_bits;
using test::strided;
using test::tolerance;
using test::value_at;

class CudaOps : public test::CudaTest {};

struct Size {
  index_t N, C;
};
// Odd, divisible by 4 (16-byte accesses), one row, no rows.
const Size sizes[] = {{37, 43}, {19, 68}, {1, 5}, {0, 8}};

void expect_near(const Tensor& on_device, const Tensor& reference, index_t length) {
  EXPECT_LE(test::relative_error(on_cpu(on_device), reference), tolerance(DType::f32, length));
}

TEST_F(CudaOps, CopiesGoAndComeBack) {
  const Tensor x = test::random_tensor({37, 43}, DType::f32, 1);

  const Tensor back = on_cpu(strided(x.to(gpu)).clone());

  EXPECT_TRUE(same_bits(back, x));
}

TEST_F(CudaOps, ZeroedColumnsLeaveTheirNeighbours) {
  Tensor x = test::random_tensor({5, 9}, DType::f32, 1).to(gpu);

  x.column_range(2, 4).fill_zero();

  const Tensor back = on_cpu(x);
  for (index_t i = 0; i < back.count(); ++i)
    EXPECT_EQ(value_at(back, i) == 0, i % 9 >= 2 && i % 9 < 6) << i;
}

TEST_F(CudaOps, ActivationsFollow) {
  for (const auto& [N, C] : sizes) {
    for (const Activation kind : {Activation::gelu, Activation::gelu_tanh, Activation::relu}) {
      Tensor x = numbers({N, C}, 1), y = x.clone(), dx = x.clone();
      const Tensor dy = numbers({N, C}, 2);
      scale(x, 6);  // tails too
      Tensor x_gpu = strided(on_gpu(x)), y_gpu = on_gpu(y), dx_gpu = on_gpu(dx);
      const bool with_bias = kind != Activation::relu;
      const Tensor bias = with_bias ? numbers({C}, 3) : Tensor();
      const Tensor bias_gpu = with_bias ? on_gpu(bias) : Tensor();

      activation_forward(y, x, bias, kind);
      activation_backward(dx, dy, x, bias, kind);
      activation_forward(y_gpu, x_gpu, bias_gpu, kind);
      activation_backward(dx_gpu, on_gpu(dy), x_gpu, bias_gpu, kind);

      expect_near(y_gpu, y, 1);
      expect_near(dx_gpu, dx, 1);
    }
  }
}

TEST_F(CudaOps, ElementwiseFollows) {
  for (const auto& [N, C] : sizes) {
    const Tensor a = numbers({N, C}, 1), b = numbers({N, C}, 2), bias = numbers({C}, 3);
    const auto all = [&](Tensor y, const Tensor& a, const Tensor& b, const Tensor& bias) {
      add(y, a, b);
      add_bias(y, bias);
      scale(y, 0.37);
      Tensor tanh = y.clone(), dx = y.clone();
      tanh_forward(tanh, y);
      tanh_backward(dx, b, tanh);
      return std::pair{tanh, dx};
    };

    const auto [tanh, dx] = all(a.clone(), a, b, bias);
    const auto [tanh_gpu, dx_gpu] =
        all(strided(on_gpu(a)), strided(on_gpu(a)), on_gpu(b), on_gpu(bias));

    expect_near(tanh_gpu, tanh, 4);
    expect_near(dx_gpu, dx, 4);
  }
}

TEST_F(CudaOps, ColumnSumsAreAdded) {
  for (const Size& size : {Size{300, 43}, Size{5, 136}, Size{0, 8}}) {
    const Tensor dy = numbers({size.N, size.C}, 1);
    Tensor sums = numbers({size.C}, 2), sums_gpu = on_gpu(sums);

    add_column_sums(sums, dy);
    add_column_sums(sums_gpu, strided(on_gpu(dy)));
    expect_near(sums_gpu, sums, size.N);

    add_column_sums(sums, dy);
    add_column_sums(sums_gpu, on_gpu(dy));
    expect_near(sums_gpu, sums, size.N);
  }
}

TEST_F(CudaOps, FillsAndFindsWhatIsNotFinite) {
  Tensor x = Tensor::empty({3, 700}, DType::f32, gpu);
  fill(x, 0.25);
  EXPECT_TRUE(all_finite(x));
  EXPECT_EQ(sum_of_squares(x), 3 * 700 * 0.0625);

  Tensor one = x.range(1, 1).reshape({700}).range(699, 1);
  fill(one, std::nan(""));

  EXPECT_FALSE(all_finite(x));
  EXPECT_TRUE(all_finite(x.range(0, 1).reshape({700})));
}

TEST_F(CudaOps, SumOfSquaresFollows) {
  for (const index_t n : {index_t{0}, index_t{1}, index_t{4096}, index_t{9001}}) {
    const Tensor x = numbers({n}, 4);

    EXPECT_NEAR(sum_of_squares(on_gpu(x)), sum_of_squares(x),
                tolerance(DType::f64, n) * static_cast<double>(n));
  }
}

TEST_F(CudaOps, RowsAreGatheredAndAddedInOrder) {
  for (const index_t C : {43, 68}) {
    const Tensor x = numbers({11, C}, 1);
    std::vector<std::int32_t> picked;
    for (int i = 0; i < 29; ++i) picked.push_back(i * i % 11);
    const Tensor rows = Tensor::from(picked, {29});
    Tensor y = Tensor::empty({29, C}, DType::f64), y_gpu = Tensor::empty({29, C}, DType::f32, gpu);
    Tensor dx = numbers({11, C}, 2), dx_gpu = on_gpu(dx);

    gather_rows(y, x, rows);
    gather_rows(y_gpu, strided(on_gpu(x)), rows.to(gpu));
    add_rows(dx, y, rows);
    add_rows(dx_gpu, y_gpu, rows.to(gpu));

    EXPECT_EQ(test::relative_error(on_cpu(y_gpu), y), 0);
    expect_near(dx_gpu, dx, 29);
  }
}

// Integers of any bits: their sums wrap.
Tensor any_numbers(index_t n, DType dtype, std::uint64_t seed) {
  if (dtype == DType::f32 || dtype == DType::f64) return test::random_tensor({n}, dtype, seed);
  Tensor x = Tensor::empty({n}, dtype);
  auto* bytes = static_cast<std::uint8_t*>(x.raw());
  for (std::size_t i = 0; i < x.bytes(); ++i) bytes[i] = static_cast<std::uint8_t>(mix(seed, i));
  return x;
}

TEST_F(CudaOps, CombinesToTheBitsOfTheCpu) {
  for (const DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64}) {
    for (const Reduce reduce : {Reduce::sum, Reduce::max, Reduce::min}) {
      for (const index_t n : {0, 1, 43, 600}) {
        Tensor a = any_numbers(n, dtype, 1), there = a.to(gpu);
        const Tensor b = any_numbers(n, dtype, 2);

        combine(a, b, reduce);
        combine(there, b.to(gpu), reduce);

        EXPECT_TRUE(same_bits(on_cpu(there), a)) << n << " elements of " << name_of(dtype);
      }
    }
  }
}

TEST_F(CudaOps, NormalNumbersHaveTheBitsOfTheCpu) {
  for (const index_t col0 : {0, 1, 6}) {
    Tensor x = Tensor::zeros({7, 13}, DType::f32), x_gpu = Tensor::zeros({7, 13}, DType::f32, gpu);

    fill_normal(x, 0x123456789abcdef0u, 0.02, 3, col0, 19);
    fill_normal(x_gpu, 0x123456789abcdef0u, 0.02, 3, col0, 19);

    EXPECT_TRUE(same_bits(on_cpu(x_gpu), x));
  }
}

TEST_F(CudaOps, DropoutDropsTheSameElements) {
  for (const auto& [N, C] : sizes) {
    const Tensor ids = Tensor::from<std::int64_t>({7, (std::int64_t{1} << 40) + 3, 5, 9}, {4});
    const Tensor x = test::random_tensor({N, C}, DType::f32, 1);
    Tensor y = x.clone(), y_gpu = x.to(gpu);
    DropoutSpec spec{0.3, philox_key(1, 2, 3), ids, 11, 2, 40};
    DropoutSpec spec_gpu = spec;
    spec_gpu.sample_ids = ids.to(gpu);

    dropout_forward(y, x, spec);
    dropout_forward(y_gpu, strided(x.to(gpu)), spec_gpu);
    EXPECT_TRUE(same_bits(on_cpu(y_gpu), y));

    dropout_backward(y, x, spec);
    dropout_backward(y_gpu, x.to(gpu), spec_gpu);
    EXPECT_TRUE(same_bits(on_cpu(y_gpu), y));
  }
}

TEST_F(CudaOps, LayerNormFollows) {
  for (const Size& size : {Size{37, 43}, Size{300, 68}, Size{1, 5}, Size{0, 8}}) {
    const auto [N, C] = size;
    const Tensor x = numbers({N, C}, 1), dy = numbers({N, C}, 2), weight = numbers({C}, 3),
                 bias = numbers({C}, 4);
    struct Results {
      Tensor y, dx, dweight, dbias;
    };
    const auto run = [&](const Tensor& x, const Tensor& dy, const Tensor& weight,
                         const Tensor& bias, Tensor dweight, Tensor dbias) {
      Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
      Tensor dx = Tensor::empty(x.shape(), x.dtype(), x.device());
      Tensor mean = Tensor::empty({x.rows()}, x.dtype(), x.device());
      Tensor rstd = Tensor::empty({x.rows()}, x.dtype(), x.device());
      layer_norm_forward(y, mean, rstd, x, weight, bias, 1e-5);
      layer_norm_backward_input(dx, dy, x, weight, mean, rstd);
      layer_norm_backward_weight(dweight, dbias, dy, x, mean, rstd);
      return Results{y, dx, dweight, dbias};
    };

    const Results cpu = run(x, dy, weight, bias, weight.clone(), bias.clone());
    const Results cuda = run(strided(on_gpu(x)), on_gpu(dy), on_gpu(weight), on_gpu(bias),
                             on_gpu(weight), on_gpu(bias));
    const Results bare =
        run(on_gpu(x), on_gpu(dy), on_gpu(weight), Tensor(), on_gpu(weight), Tensor());

    expect_near(cuda.y, cpu.y, C);
    expect_near(cuda.dx, cpu.dx, C);
    expect_near(cuda.dweight, cpu.dweight, C + N);
    expect_near(cuda.dbias, cpu.dbias, N);
    expect_near(bare.dx, cpu.dx, C);
  }
}

TEST_F(CudaOps, EmbeddingsAreLookedUpAndSummed) {
  constexpr index_t V = 23, N = 700;
  for (const index_t C : {43, 136}) {
    std::vector<std::int32_t> tokens;
    for (index_t i = 0; i < N; ++i)
      tokens.push_back(static_cast<std::int32_t>(mix(1, static_cast<std::uint64_t>(i)) % 40));
    for (index_t i = 0; i < 200; ++i) tokens[static_cast<std::size_t>(3 * i)] = 12;  // a heavy row
    const Tensor ids = Tensor::from(tokens, {N}), table = numbers({V, C}, 1),
                 dy = numbers({N, C}, 2);
    Tensor y = Tensor::empty({N, C}, DType::f64), y_gpu = Tensor::empty({N, C}, DType::f32, gpu);
    Tensor dtable = numbers({V, C}, 3), dtable_gpu = on_gpu(dtable);
    const Tensor table_gpu = on_gpu(table);
    constexpr index_t first_row = 5;  // ids below 5 and from 28 on are of other ranks

    for (const Accumulate accumulate : {Accumulate::no, Accumulate::yes}) {
      embedding_forward(y, ids, table, first_row, accumulate);
      embedding_forward(y_gpu, ids.to(gpu), table_gpu, first_row, accumulate);
    }
    embedding_backward(dtable, dy, ids, first_row);
    embedding_backward(dtable_gpu, on_gpu(dy), ids.to(gpu), first_row);

    expect_near(y_gpu, y, 1);
    expect_near(dtable_gpu, dtable, 220);
  }
}

TEST_F(CudaOps, CrossEntropyFollows) {
  constexpr index_t N = 9;
  for (const index_t V_local : {41, 300}) {
    const VocabularySlice slice{40, 40 + V_local - 4};  // four columns of padding
    Tensor logits = numbers({N, V_local}, 1);
    scale(logits, 9);
    const Tensor targets = Tensor::from<std::int32_t>(
        {41, -1, 39, 40, 50, static_cast<std::int32_t>(slice.V - 1), 3, -1, 60}, {N});
    struct Results {
      Tensor largest, argmax, statistics, dlogits;
      double loss;
    };
    const auto run = [&](Tensor logits, const Tensor& targets) {
      Results r{Tensor::empty({N}, DType::f64, logits.device()),
                Tensor::empty({N}, DType::i64, logits.device()),
                Tensor::empty({2, N}, DType::f64, logits.device()), logits, 0};
      cross_entropy_max(r.largest, r.argmax, logits, slice);
      cross_entropy_statistics(r.statistics, logits, targets, r.largest, slice);
      r.loss = test::cross_entropy_loss(r.largest, r.statistics, targets);
      cross_entropy_backward(logits, targets, r.largest, r.statistics, 0.7, slice);
      return r;
    };

    const Results cpu = run(logits.clone(), targets);
    const Results cuda = run(on_gpu(logits), targets.to(gpu));

    EXPECT_TRUE(same_bits(on_cpu(cuda.argmax), cpu.argmax));
    expect_near(cuda.largest, cpu.largest, 1);
    expect_near(cuda.statistics, cpu.statistics, V_local);
    expect_near(cuda.dlogits, cpu.dlogits, V_local);
    EXPECT_NEAR(cuda.loss / cpu.loss, 1, tolerance(DType::f32, N));
  }
}

// Of equal logits the first counts, on whichever thread it is; a rank of padding alone has none.
TEST_F(CudaOps, CrossEntropyFindsTheFirstLargest) {
  Tensor logits = Tensor::zeros({2, 500}, DType::f32);
  test::set_value(logits, 300, 2);
  test::set_value(logits, 77, 2);
  Tensor largest = Tensor::empty({2}, DType::f64, gpu),
         argmax = Tensor::empty({2}, DType::i64, gpu);

  cross_entropy_max(largest, argmax, logits.to(gpu), {1000, 1500});

  EXPECT_EQ(value_at(on_cpu(argmax), 0), 1077);
  EXPECT_EQ(value_at(on_cpu(argmax), 1), 1000);

  cross_entropy_max(largest, argmax, logits.to(gpu), {1500, 1500});

  EXPECT_EQ(value_at(on_cpu(argmax), 0), 1500);
  EXPECT_EQ(value_at(on_cpu(largest), 0), -std::numeric_limits<double>::infinity());
}

TEST_F(CudaOps, AdamWFollows) {
  for (const index_t n : {1, 43, 600}) {
    Tensor value = numbers({n}, 1), m = numbers({n}, 2), v = numbers({n}, 3);
    for (index_t i = 0; i < n; ++i) test::set_value(v, i, std::abs(value_at(v, i)));
    const Tensor gradient = numbers({n}, 4);
    Tensor value_gpu = on_gpu(value), m_gpu = on_gpu(m), v_gpu = on_gpu(v);
    const AdamWStep step{.rate = 1e-2, .decay = 0.1, .scale = 0.5, .t = 3};

    adamw(value, m, v, gradient, step);
    adamw(value_gpu, m_gpu, v_gpu, on_gpu(gradient), step);

    expect_near(value_gpu, value, 4);
    expect_near(m_gpu, m, 2);
    expect_near(v_gpu, v, 2);
  }
}

}  // namespace
}  // namespace lockstep
