#include "core/ops/cpu/cross_entropy.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"
#include "core/ops/sum_order.hpp"
#include "core/portable_math.hpp"

namespace lockstep::cpu {
namespace {

// Columns of this rank that are words, not padding.
index_t real_columns(const Tensor& logits, VocabularySlice slice) {
  return std::clamp<index_t>(slice.V - slice.first_column, 0, logits.shape()[1]);
}

// A tree of the sums of exp over equal runs of the first `columns` of `width` columns.
template <typename T>
double sum_exp_of_shards(const T* row,
                         double largest,
                         index_t columns,
                         index_t width,
                         index_t shards,
                         const Kernels<T>& kernel) {
  const index_t run = width / shards;
  std::array<double, SumOrder::most_chains> sums{};
  for (index_t s = 0; s < shards; ++s) {
    const index_t n = std::clamp<index_t>(columns - s * run, 0, run);
    sums[static_cast<std::size_t>(s)] = kernel.sum_exp(row + s * run, largest, n);
  }
  for (std::size_t apart = 1; apart < static_cast<std::size_t>(shards); apart *= 2) {
    for (std::size_t s = 0; s < static_cast<std::size_t>(shards); s += 2 * apart) {
      sums[s] += sums[s + apart];
    }
  }
  return sums[0];
}

}  // namespace

void cross_entropy_max(Tensor& largest,
                       Tensor& argmax,
                       const Tensor& logits,
                       VocabularySlice slice) {
  const index_t columns = real_columns(logits, slice);
  with_type(logits.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_pieces(logits.shape()[0], columns, [&](index_t i) {
      const T* row = logits.data<T>() + i * logits.row_stride();
      const T value = kernel.largest(row, columns);
      largest.data<double>()[i] = static_cast<double>(value);
      if (!argmax.defined()) return;
      const index_t at = std::find(row, row + columns, value) - row;
      argmax.data<std::int64_t>()[i] = at == columns ? slice.V : slice.first_column + at;
    });
  });
}

void cross_entropy_statistics(Tensor& statistics,
                              const Tensor& logits,
                              const Tensor& targets,
                              const Tensor& largest,
                              VocabularySlice slice,
                              index_t shards) {
  const index_t N = logits.shape()[0], columns = real_columns(logits, slice);
  double* sums = statistics.data<double>();
  with_type(logits.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_pieces(N, columns, [&](index_t i) {
      const T* row = logits.data<T>() + i * logits.row_stride();
      const index_t at = targets.data<std::int32_t>()[i] - slice.first_column;
      sums[i] = sum_exp_of_shards(row, largest.data<double>()[i], columns, logits.columns(), shards,
                                  kernel);
      sums[N + i] = at >= 0 && at < columns ? static_cast<double>(row[at]) : 0.0;
    });
  });
}

void add_cross_entropy_loss(Tensor& limbs,
                            const Tensor& largest,
                            const Tensor& statistics,
                            const Tensor& targets) {
  const index_t N = targets.count();
  const double* sums = statistics.data<double>();
  ExactSum loss;
  for (index_t i = 0; i < N; ++i) {
    if (targets.data<std::int32_t>()[i] < 0) continue;
    loss += largest.data<double>()[i] + natural_log(sums[i]) - sums[N + i];
  }
  for (std::size_t i = 0; i < loss.limbs().size(); ++i)
    limbs.data<std::int64_t>()[i] += loss.limbs()[i];
}

void cross_entropy_backward(Tensor& logits,
                            const Tensor& targets,
                            const Tensor& largest,
                            const Tensor& statistics,
                            double factor,
                            VocabularySlice slice) {
  const index_t columns = real_columns(logits, slice);
  with_type(logits.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_pieces(logits.shape()[0], logits.shape()[1], [&](index_t i) {
      T* row = logits.data<T>() + i * logits.row_stride();
      const index_t target = targets.data<std::int32_t>()[i], at = target - slice.first_column;
      const index_t live = target < 0 ? 0 : columns;
      kernel.softmax_gradient(row, largest.data<double>()[i], factor / statistics.data<double>()[i],
                              live);
      if (at >= 0 && at < live) row[at] -= static_cast<T>(factor);
      std::fill(row + live, row + logits.shape()[1], T{0});
    });
  });
}

}  // namespace lockstep::cpu
