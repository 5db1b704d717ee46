#include "core/ops/attention.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using test::random_tensor;
using test::relative_error;
using test::same_bits;
using test::tolerance;
using test::value_at;

AttentionSpec spec_of(index_t B, index_t T, index_t NH, index_t HS, Mask mask, double dropout = 0) {
  AttentionSpec spec;
  spec.B = B;
  spec.T_q = spec.T_k = T;
  spec.heads = spec.kv_heads = NH;
  spec.head_size = HS;
  spec.scale = 1 / std::sqrt(static_cast<double>(HS));
  spec.mask = mask;
  spec.dropout = dropout;
  spec.dropout_key = {3, 4};
  spec.sample_ids = Tensor::empty({B}, DType::i64);
  for (index_t b = 0; b < B; ++b)
    spec.sample_ids.data<std::int64_t>()[b] = (std::int64_t{7} << 33) + 11 * b;
  return spec;
}

// q, k, v (B*T, NH*HS) as columns of one fused matrix, and everything that is computed.
struct Case {
  Case(const AttentionSpec& s, DType dtype)
      : spec(s),
        fused(
            test::converted(random_tensor({s.B * s.T_q, 3 * s.heads * s.head_size}, DType::f32, 1),
                            dtype)) {
    const index_t C = s.heads * s.head_size;
    q = fused.column_range(0, C);
    k = fused.column_range(C, C);
    v = fused.column_range(2 * C, C);
    dfused = Tensor::empty(fused.shape(), dtype);
    dq = dfused.column_range(0, C);
    dk = dfused.column_range(C, C);
    dv = dfused.column_range(2 * C, C);
    y = Tensor::empty(q.shape(), dtype);
    dy = test::converted(random_tensor(q.shape(), DType::f32, 2), dtype);
    lse = Tensor::empty({s.B, s.heads, s.T_q}, dtype);
  }

  void forward() { attention_forward(y, lse, q, k, v, spec); }
  void backward() { attention_backward(dq, dk, dv, dy, q, k, v, y, lse, spec); }

  AttentionSpec spec;
  Tensor fused, dfused, q, k, v, dq, dk, dv, y, dy, lse;
};

double kept(const AttentionSpec& s, index_t b, index_t h, index_t i, index_t j) {
  if (s.dropout == 0) return 1;
  const auto id = static_cast<std::uint64_t>(s.sample_ids.data<std::int64_t>()[b]);
  const std::uint32_t word = philox({static_cast<std::uint32_t>(j / 4),
                                     static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(id),
                                     (static_cast<std::uint32_t>(id >> 32) & 0xffffu) |
                                         (static_cast<std::uint32_t>(s.first_head + h) << 16)},
                                    s.dropout_key)[static_cast<std::size_t>(j % 4)];
  return word < keep_threshold(s.dropout) ? 1 / (1 - s.dropout) : 0;
}

// The definition, row by row in double.
Tensor plain(const Case& c) {
  const AttentionSpec& s = c.spec;
  const index_t C = s.heads * s.head_size, HS = s.head_size;
  Tensor y = Tensor::zeros(c.y.shape(), DType::f64);
  for (index_t b = 0; b < s.B; ++b) {
    const index_t length = s.lengths.defined() ? s.lengths.data<std::int32_t>()[b] : s.T_q;
    for (index_t h = 0; h < s.heads; ++h) {
      const auto at = [&](index_t t, index_t d) { return (b * s.T_q + t) * C + h * HS + d; };
      for (index_t i = 0; i < length; ++i) {
        const index_t seen = s.mask == Mask::causal ? i + 1 : length;
        std::vector<double> p(static_cast<std::size_t>(seen));
        double sum = 0;
        for (index_t j = 0; j < seen; ++j) {
          double score = 0;
          for (index_t d = 0; d < HS; ++d)
            score += value_at(c.q, at(i, d)) * value_at(c.k, at(j, d));
          sum += p[static_cast<std::size_t>(j)] = std::exp(s.scale * score);
        }
        for (index_t j = 0; j < seen; ++j) {
          const double weight = p[static_cast<std::size_t>(j)] / sum * kept(s, b, h, i, j);
          for (index_t d = 0; d < HS; ++d)
            y.data<double>()[at(i, d)] += weight * value_at(c.v, at(j, d));
        }
      }
    }
  }
  return y;
}

std::vector<AttentionSpec> variants(index_t B, index_t T, index_t NH, index_t HS) {
  std::vector<AttentionSpec> all;
  for (const Mask mask : {Mask::full, Mask::causal}) {
    for (const double dropout : {0.0, 0.25}) {
      for (const bool padded : {false, true}) {
        AttentionSpec spec = spec_of(B, T, NH, HS, mask, dropout);
        if (padded) {
          spec.lengths = Tensor::empty({B}, DType::i32);
          for (index_t b = 0; b < B; ++b) {
            spec.lengths.data<std::int32_t>()[b] =
                static_cast<std::int32_t>(b == 0 ? T : T * (B - 1 - b) / B);
          }
        }
        all.push_back(spec);
      }
    }
  }
  return all;
}

// Equal scores: the average of the values seen.
TEST(Attention, AveragesValuesWhenScoresAreEqual) {
  Case c(spec_of(1, 2, 1, 1, Mask::causal), DType::f64);
  c.fused.copy_from(Tensor::from<double>({0, 5, 1, 0, 6, 3}, {2, 3}));

  c.forward();

  EXPECT_TRUE(same_bits(c.y, Tensor::from<double>({1, 2}, {2, 1})));
  EXPECT_EQ(value_at(c.lse, 1), std::log(2.0));
}

TEST(Attention, MatchesTheDefinition) {
  for (const index_t T : {1, 5, 64, 130}) {
    for (const AttentionSpec& spec : variants(3, T, 2, 9)) {
      for (const DType dtype : {DType::f32, DType::f64}) {
        Case c(spec, dtype);

        c.forward();

        EXPECT_LE(relative_error(c.y, plain(c)), tolerance(dtype, T)) << T;
      }
    }
  }
}

TEST(Attention, GradientsMatchCentralDifferences) {
  for (const AttentionSpec& spec : variants(2, 5, 2, 3)) {
    Case c(spec, DType::f64);
    c.forward();

    c.backward();

    test::expect_gradient(c.fused, c.dfused, [&] {
      c.forward();
      return test::inner(c.y, c.dy);
    });
  }
}

// Several tiles, where differences would be slow: along one random direction.
TEST(Attention, GradientOfManyTilesMatchesADirectionalDifference) {
  for (const AttentionSpec& spec : variants(2, 150, 1, 8)) {
    Case c(spec, DType::f64);
    const Tensor direction = random_tensor(c.fused.shape(), DType::f64, 5), start = c.fused.clone();
    const double h = std::cbrt(test::epsilon(DType::f64));
    const auto loss_at = [&](double distance) {
      for (index_t i = 0; i < start.count(); ++i) {
        test::set_value(c.fused, i, value_at(start, i) + distance * value_at(direction, i));
      }
      c.forward();
      return test::inner(c.y, c.dy);
    };
    const double slope = (loss_at(h) - loss_at(-h)) / (2 * h);
    loss_at(0);

    c.backward();

    EXPECT_LE(std::abs(test::inner(c.dfused, direction) - slope),
              test::gradient_tolerance(start.count()) * (1 + std::abs(slope)));
  }
}

TEST(Attention, FloatGradientsFollowDouble) {
  for (const AttentionSpec& spec : variants(2, 97, 2, 43)) {
    Case single(spec, DType::f32), twice(spec, DType::f64);

    for (Case* c : {&single, &twice}) {
      c->forward();
      c->backward();
    }

    EXPECT_LE(relative_error(single.dfused, twice.dfused), tolerance(DType::f32, 97));
    EXPECT_LE(relative_error(single.lse, twice.lse), tolerance(DType::f32, 97));
  }
}

TEST(Attention, RowsPastTheLengthAreZeroWhateverTheyHold) {
  AttentionSpec spec = spec_of(2, 70, 1, 4, Mask::full);
  spec.lengths = Tensor::from<std::int32_t>({3, 0}, {2});
  Case c(spec, DType::f32);
  for (index_t row = 0; row < 140; ++row) {
    if (row >= 3) {
      for (index_t i = 0; i < 12; ++i) test::set_value(c.fused, row * 12 + i, std::nan(""));
    }
  }

  c.forward();
  c.backward();

  for (index_t row = 3; row < 140; ++row) {
    for (index_t i = 0; i < 4; ++i) EXPECT_EQ(value_at(c.y, row * 4 + i), 0);
    for (index_t i = 0; i < 12; ++i) EXPECT_EQ(value_at(c.dfused, row * 12 + i), 0);
  }
  EXPECT_FALSE(std::isnan(test::inner(c.dfused, c.dfused)));
}

// Rows without padding, and with a row of it after the second sample.
TEST(Attention, RowsOfPaddingMayBeLeftOut) {
  for (AttentionSpec spec : variants(3, 70, 2, 4)) {
    if (!spec.lengths.defined()) continue;
    Case padded(spec, DType::f32);
    padded.forward();
    padded.backward();
    ASSERT_EQ(value_at(spec.lengths, 1), 23);  // of 70, 23, 0
    const std::vector<std::int64_t> starts{0, 70, 94, 94};
    spec.row_starts = Tensor::from(starts, {4});

    const Tensor fused = padded.fused.range(0, 94),
                 dfused = Tensor::empty(fused.shape(), DType::f32);
    const auto part = [](const Tensor& x, index_t i) { return x.column_range(i * 8, 8); };
    Tensor y = Tensor::empty({94, 8}, DType::f32), lse = Tensor::empty({2 * 94}, DType::f32);
    attention_forward(y, lse, part(fused, 0), part(fused, 1), part(fused, 2), spec);
    Tensor dq = part(dfused, 0), dk = part(dfused, 1), dv = part(dfused, 2);
    attention_backward(dq, dk, dv, padded.dy.range(0, 94), part(fused, 0), part(fused, 1),
                       part(fused, 2), y, lse, spec);

    EXPECT_TRUE(same_bits(y, padded.y.range(0, 94)));
    EXPECT_TRUE(same_bits(dfused, padded.dfused.range(0, 94)));
  }
}

TEST(Attention, HeadsCutOverRanksSeeTheSameDropout) {
  Case whole(spec_of(2, 70, 4, 8, Mask::causal, 0.5), DType::f32);
  whole.forward();
  AttentionSpec half = whole.spec;
  half.heads = half.kv_heads = 2;
  half.first_head = 2;
  Tensor y = Tensor::empty({140, 16}, DType::f32), lse = Tensor::empty({2, 2, 70}, DType::f32);

  attention_forward(y, lse, whole.q.column_range(16, 16), whole.k.column_range(16, 16),
                    whole.v.column_range(16, 16), half);

  EXPECT_TRUE(same_bits(y, whole.y.column_range(16, 16)));
}

TEST(Attention, LargeScoresDoNotOverflow) {
  Case c(spec_of(1, 130, 1, 4, Mask::full), DType::f32);
  for (index_t i = 0; i < c.fused.count(); ++i)
    test::set_value(c.fused, i, 100 * value_at(c.fused, i));

  c.forward();

  for (index_t i = 0; i < c.y.count(); ++i) EXPECT_TRUE(std::isfinite(value_at(c.y, i)));
}

TEST(Attention, QueriesAndKeysMayDifferInNumber) {
  AttentionSpec spec = spec_of(1, 3, 1, 2, Mask::full);
  spec.T_k = 0;
  const Tensor q = random_tensor({3, 2}, DType::f32, 1), none = Tensor::empty({0, 2}, DType::f32);
  Tensor y = q.clone(), lse = Tensor::empty({1, 1, 3}, DType::f32);

  attention_forward(y, lse, q, none, none, spec);

  EXPECT_TRUE(same_bits(y, Tensor::zeros({3, 2}, DType::f32)));
}

}  // namespace
}  // namespace lockstep
