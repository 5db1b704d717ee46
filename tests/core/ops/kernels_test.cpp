// The kernels of every instruction set against those of scalar: the same bits.
#include "core/ops/cpu/kernels.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include "core/ops/attention.hpp"
#include "core/ops/cpu_features.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/gemm.hpp"
#include "core/ops/layer_norm.hpp"
#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using cpu::InstructionSet;
using cpu::Kernels;
using test::random_tensor;
using test::same_bits;

constexpr index_t n = 1043;

// Runs f with the kernels of each set this CPU has, and scalar's beside them.
template <typename T, typename F>
void for_each_set(F f) {
  for (const InstructionSet set : {InstructionSet::avx2, InstructionSet::avx512}) {
    if (set <= cpu::widest_instruction_set())
      f(cpu::kernels<T>(set), cpu::kernels<T>(InstructionSet::scalar));
  }
}

// y = f(x) under both tables has the same bits.
template <typename T, typename F>
void expect_same(const Kernels<T>& one, const Kernels<T>& other, F f) {
  Tensor x = random_tensor({n}, dtype_of<T>, 1);
  scale(x, 9.0);
  Tensor a = random_tensor({n}, dtype_of<T>, 2), b = a.clone();

  f(one, a.data<T>(), x.data<T>());
  f(other, b.data<T>(), x.data<T>());

  EXPECT_TRUE(same_bits(a, b));
}

template <typename T>
void expect_sets_agree() {
  for_each_set<T>([](const Kernels<T>& one, const Kernels<T>& scalar) {
    for (int i = 0; i < 3; ++i) {
      expect_same<T>(one, scalar,
                     [i](const auto& k, T* y, const T* x) { k.activation[i](y, x, x, n); });
      expect_same<T>(one, scalar, [i](const auto& k, T* y, const T* x) {
        k.activation_backward[i](y, x, x, x, n);
      });
    }
    expect_same<T>(one, scalar, [](const auto& k, T* y, const T* x) { k.tanh(y, x, n); });
    expect_same<T>(one, scalar,
                   [](const auto& k, T* y, const T* x) { k.tanh_backward(y, x, x, n); });
    expect_same<T>(one, scalar, [](const auto& k, T* y, const T* x) {
      k.layer_norm(y, y, y + 1, x, x, x, n, T{1e-5f});
    });
    expect_same<T>(one, scalar, [](const auto& k, T* y, const T* x) {
      k.layer_norm_backward(y, x, x, x, x, 1, 2, n);
    });
    expect_same<T>(one, scalar, [](const auto& k, T* y, const T* x) {
      k.dropout(y, x, n, 2, {1, 2, 3, 4, 5, 1u << 31});
    });
    expect_same<T>(one, scalar, [](const auto& k, T* y, const T* x) {
      const cpu::DropoutRow row{1, 2, 3, 4, 5, 1u << 31};
      k.add_branch(y, x, x, x, n, 2, &row);
    });
    expect_same<T>(one, scalar, [](const auto& k, T* y, const T* x) {
      Tensor m = Tensor::zeros({n}, dtype_of<T>), v = m.clone();
      k.adamw(y, m.data<T>(), v.data<T>(), x, n,
              {1, T{0.5}, T{0.5}, T{0.5}, T{0.25}, T{0.75}, 2, 3, T{0.125}, 2});
    });
    expect_same<T>(one, scalar, [](const auto& k, T* y, const T* x) {
      y[0] = k.dot(x, x, n);
      y[1] = k.largest(x, n);
      y[2] = static_cast<T>(k.sum_exp(x, 9.0, n));
      y[3] = static_cast<T>(k.sum_of_squares(x, n));
      y[4] = k.largest_magnitude(x, n);
      double bins[3] = {};
      const double rounders[3] = {0x1.8p48, 0x1.8p36, 0x1.8p24};
      k.squares_in_bins(bins, x, n, rounders);
      for (int bin = 0; bin < 3; ++bin) y[5 + bin] = static_cast<T>(bins[bin]);
      k.add_normed(y + 8, x, x, 1, 2, n - 8);
      k.softmax_gradient(y + 9, 9.0, 0.5, n - 9);
    });
  });
}

TEST(Kernels, FloatsHaveTheSameBitsOnEveryInstructionSet) { expect_sets_agree<float>(); }
TEST(Kernels, DoublesHaveTheSameBitsOnEveryInstructionSet) { expect_sets_agree<double>(); }

template <typename T>
void expect_products_agree() {
  for_each_set<T>([](const Kernels<T>& one, const Kernels<T>& scalar) {
    const Tensor a = random_tensor({67, 59}, dtype_of<T>, 1),
                 b = random_tensor({59, 77}, dtype_of<T>, 2);
    Tensor x = Tensor::zeros({67, 77}, dtype_of<T>), y = x.clone();

    one.multiply(x.data<T>(), 77, a.data<T>(), 59, 1, b.data<T>(), 77, 67, 77, 59, false);
    scalar.multiply(y.data<T>(), 77, a.data<T>(), 59, 1, b.data<T>(), 77, 67, 77, 59, false);

    EXPECT_TRUE(same_bits(x, y));
  });
}

TEST(Kernels, ProductsHaveTheSameBitsOnEveryInstructionSet) {
  expect_products_agree<float>();
  expect_products_agree<double>();
}

TEST(Kernels, NameWhatIsInUse) {
  const char* names[] = {"scalar", "avx2", "avx512"};

  EXPECT_EQ(cpu_features_in_use(), names[static_cast<int>(cpu::instruction_set())]);
}

// What an op writes with one thread and with three.
template <typename F>
void expect_threads_do_not_matter(F op) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const Tensor one = op();
  omp_set_num_threads(3);
  const Tensor three = op();
  omp_set_num_threads(before);

  EXPECT_TRUE(same_bits(one, three));
}

TEST(OpsThreads, ChangeNoBitOfSumsOverRows) {
  const Tensor x = random_tensor({600, 300}, DType::f32, 1),
               ones = random_tensor({300}, DType::f32, 2);
  expect_threads_do_not_matter([&] {
    Tensor sums = Tensor::zeros({300}, DType::f32), dweight = sums.clone(), dbias = sums.clone();
    Tensor y = x.clone(), mean = Tensor::zeros({600}, DType::f32), rstd = mean.clone();
    layer_norm_forward(y, mean, rstd, x, ones, ones, 1e-5);
    layer_norm_backward_weight(dweight, dbias, y, x, mean, rstd);
    add_column_sums(sums, y);
    add(sums, sums, dweight);
    add(sums, sums, dbias);
    scale(sums, sum_of_squares(y));
    return sums;
  });
}

TEST(OpsThreads, ChangeNoBitOfAttention) {
  AttentionSpec spec;
  spec.B = 2;
  spec.T_q = spec.T_k = 100;
  spec.heads = spec.kv_heads = 3;
  spec.head_size = 16;
  spec.mask = Mask::causal;
  const Tensor q = random_tensor({200, 48}, DType::f32, 1),
               dy = random_tensor({200, 48}, DType::f32, 2);
  expect_threads_do_not_matter([&] {
    Tensor y = q.clone(), lse = Tensor::zeros({2, 3, 100}, DType::f32), dq = q.clone(),
           dk = q.clone(), dv = q.clone();
    attention_forward(y, lse, q, q, q, spec);
    attention_backward(dq, dk, dv, dy, q, q, q, y, lse, spec);
    add(dq, dq, dk);
    add(dq, dq, dv);
    return dq;
  });
}

}  // namespace
}  // namespace lockstep
