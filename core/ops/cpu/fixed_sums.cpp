#include "core/ops/cpu/fixed_sums.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {
namespace {

constexpr index_t column_block = 64;  // columns of running sums per piece
constexpr index_t flat_block = 1 << 14;

// `width` sums side by side, chain after chain: the tree's binary counter. add() is told of chains
// in order; the sums of a whole tree end in out.
template <typename T>
class ChainTree {
 public:
  ChainTree(const Kernels<T>& kernel, index_t num_chains, index_t width)
      : kernel_(kernel), num_chains_(num_chains), width_(width) {}

  // The place of the chain at work: +0 at its beginning.
  T* chain() { return current_; }
  void close() {
    index_t level = 0;
    for (; ((closed_ >> level) & 1) != 0; ++level) {
      kernel_.add(current_, levels_[level], current_, width_);
    }
    ++closed_;
    if (closed_ == num_chains_) return;
    std::copy_n(current_, width_, levels_[level]);
    std::fill_n(current_, width_, T{0});
  }
  const T* root() const { return current_; }

 private:
  static constexpr index_t most_levels = std::countr_zero(std::uint64_t{SumOrder::most_chains});

  const Kernels<T>& kernel_;
  index_t num_chains_, width_, closed_ = 0;
  T current_[column_block] = {};
  T levels_[most_levels][column_block];
};

// to (n) = or += a tree over the order's rows; add(sums, row) adds one row's terms.
template <typename T, typename Add>
void sum_rows(T* to, index_t n, const SumOrder& order, const Kernels<T>& kernel, Add add) {
  if (order.num_chains() == 1) {
    for (const SumRange& range : order.ranges()) {
      for (index_t i = range.first; i < range.first + range.count; ++i) add(to, i);
    }
    return;
  }
  ChainTree<T> tree(kernel, order.num_chains(), n);
  for (const SumRange& range : order.ranges()) {
    for (index_t i = range.first; i < range.first + range.count; ++i) add(tree.chain(), i);
    if (range.closes) tree.close();
  }
  std::copy_n(tree.root(), n, to);
}

// The rows of dy that name a table row, table row after table row, each one's rows in order.
struct RowsById {
  struct Entry {
    std::int32_t id;
    index_t row, chain;
  };
  std::vector<Entry> entries;

  RowsById(const Tensor& ids, index_t first_id, index_t num_ids, const SumOrder& order) {
    index_t chain = 0;
    for (const SumRange& range : order.ranges()) {
      for (index_t i = range.first; i < range.first + range.count; ++i) {
        const index_t id = ids.data<std::int32_t>()[i] - first_id;
        if (id >= 0 && id < num_ids) entries.push_back({static_cast<std::int32_t>(id), i, chain});
      }
      if (range.closes) ++chain;
    }
    std::stable_sort(entries.begin(), entries.end(),
                     [](const Entry& a, const Entry& b) { return a.id < b.id; });
  }
};

}  // namespace

void fixed_column_sums(Tensor& dbias, const Tensor& dy, const SumOrder& order) {
  with_type(dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_blocks(dy.columns(), column_block, dy.rows(), [&](index_t first, index_t n) {
      sum_rows(dbias.data<T>() + first, n, order, kernel, [&](T* sums, index_t i) {
        kernel.add(sums, sums, dy.data<T>() + i * dy.row_stride() + first, n);
      });
    });
  });
}

void fixed_layer_norm_sums(Tensor& dweight,
                           Tensor& dbias,
                           const Tensor& dy,
                           const Tensor& x,
                           const Tensor& mean,
                           const Tensor& rstd,
                           const SumOrder& order) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_blocks(x.columns(), column_block, x.rows(), [&](index_t first, index_t n) {
      sum_rows(dweight.data<T>() + first, n, order, kernel, [&](T* sums, index_t i) {
        kernel.add_normed(sums, dy.data<T>() + i * dy.row_stride() + first,
                          x.data<T>() + i * x.row_stride() + first, mean.data<T>()[i],
                          rstd.data<T>()[i], n);
      });
    });
  });
  if (dbias.defined()) cpu::fixed_column_sums(dbias, dy, order);
}

void fixed_embedding_sums(Tensor& dtable,
                          const Tensor& dy,
                          const Tensor& ids,
                          index_t first_row,
                          const SumOrder& order) {
  const std::vector<RowsById::Entry> entries =
      RowsById(ids, first_row, dtable.rows(), order).entries;
  with_type(dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    // Threads take columns, not table rows: some are named far more often than others.
    for_blocks(dy.columns(), column_block, dy.rows(), [&](index_t first, index_t n) {
      for (auto at = entries.begin(); at != entries.end();) {
        const auto end = std::find_if(at, entries.end(),
                                      [&](const RowsById::Entry& e) { return e.id != at->id; });
        T* to = dtable.data<T>() + at->id * dtable.row_stride() + first;
        if (order.num_chains() == 1) {
          for (; at != end; ++at) {
            kernel.add(to, to, dy.data<T>() + at->row * dy.row_stride() + first, n);
          }
          continue;
        }
        ChainTree<T> tree(kernel, order.num_chains(), n);
        for (index_t chain = 0; chain < order.num_chains(); ++chain) {
          for (; at != end && at->chain == chain; ++at) {
            kernel.add(tree.chain(), tree.chain(), dy.data<T>() + at->row * dy.row_stride() + first,
                       n);
          }
          tree.close();
        }
        std::copy_n(tree.root(), n, to);
      }
    });
  });
}

void join_sums(Tensor& to, Tensor& from, const std::vector<Tensor>& joined) {
  with_type(from.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_blocks(from.count(), flat_block, 1 + static_cast<index_t>(joined.size()),
               [&](index_t first, index_t n) {
                 T* sum = from.data<T>() + first;
                 for (const Tensor& part : joined) {
                   kernel.add(sum, part.data<T>() + first, sum, n);
                 }
                 if (to.raw() == from.raw()) return;
                 std::copy_n(sum, n, to.data<T>() + first);
                 std::fill_n(sum, n, T{0});
               });
  });
}

double largest_magnitude(const Tensor& x) {
  std::vector<double> partial(static_cast<std::size_t>((x.count() + flat_block - 1) / flat_block));
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_blocks(x.count(), flat_block, 1, [&](index_t first, index_t n) {
      partial[static_cast<std::size_t>(first / flat_block)] =
          static_cast<double>(kernel.largest_magnitude(x.data<T>() + first, n));
    });
  });
  return partial.empty() ? 0.0 : *std::max_element(partial.begin(), partial.end());
}

// Units of 2^(e - 16), 2^(e - 32) and 2^(e - 48), 2^e above the largest square: a bin's terms are
// at most 2^16 units, and 2^36 of them less than 2^53.
SquareBins squares_in_bins(const Tensor& x, double largest) {
  SquareBins bins{};
  if (x.count() == 0 || largest == 0) return bins;
  const double most = largest * largest;
  if (!(most <= std::numeric_limits<double>::max())) {
    bins[0] = most;
    return bins;
  }
  const int e = std::ilogb(most) + 1;
  const double rounders[3] = {std::ldexp(1.5, e - 16 + 52), std::ldexp(1.5, e - 32 + 52),
                              std::ldexp(1.5, e - 48 + 52)};
  std::vector<SquareBins> partial(
      static_cast<std::size_t>((x.count() + flat_block - 1) / flat_block));
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_blocks(x.count(), flat_block, 1, [&](index_t first, index_t n) {
      kernel.squares_in_bins(partial[static_cast<std::size_t>(first / flat_block)].data(),
                             x.data<T>() + first, n, rounders);
    });
  });
  for (const SquareBins& part : partial) {
    for (std::size_t bin = 0; bin < bins.size(); ++bin) bins[bin] += part[bin];
  }
  return bins;
}

}  // namespace lockstep::cpu
