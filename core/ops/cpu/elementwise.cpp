#include "core/ops/cpu/elementwise.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {
namespace {

constexpr index_t square_block =
    4096;  // elements per partial sum of squares: canonical, see core/ops/elementwise.hpp

template <typename T>
T* row_of(Tensor& x, index_t row) {
  return x.data<T>() + row * x.row_stride();
}

template <typename T>
const T* row_of(const Tensor& x, index_t row) {
  return x.data<T>() + row * x.row_stride();
}

}  // namespace

void add(Tensor& y, const Tensor& a, const Tensor& b) {
  with_type(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_row_blocks(y, [&](index_t row, index_t first, index_t n) {
      kernel.add(row_of<T>(y, row) + first, row_of<T>(a, row) + first, row_of<T>(b, row) + first,
                 n);
    });
  });
}

void add_bias(Tensor& y, const Tensor& bias) {
  with_type(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_row_blocks(y, [&](index_t row, index_t first, index_t n) {
      T* to = row_of<T>(y, row) + first;
      kernel.add(to, to, bias.data<T>() + first, n);
    });
  });
}

void add_column_sums(Tensor& dbias, const Tensor& dy) {
  with_type(dbias.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_column_blocks(dy.columns(), dy.rows(), [&](index_t first, index_t n) {
      double sums[most_columns] = {};
      if (dy.dtype() == DType::bf16) {
        kernel.add_bf16_to_sums(sums, dy.data<Bf16>() + first, dy.row_stride(), dy.rows(), n);
      } else {
        kernel.add_to_sums(sums, dy.data<T>() + first, dy.row_stride(), dy.rows(), n);
      }
      T* to = dbias.data<T>() + first;
      for (index_t c = 0; c < n; ++c) to[c] += static_cast<T>(sums[c]);
    });
  });
}

void tanh_forward(Tensor& y, const Tensor& x) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_row_blocks(x, [&](index_t row, index_t first, index_t n) {
      kernel.tanh(row_of<T>(y, row) + first, row_of<T>(x, row) + first, n);
    });
  });
}

void tanh_backward(Tensor& dx, const Tensor& dy, const Tensor& y) {
  with_type(dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_row_blocks(dy, [&](index_t row, index_t first, index_t n) {
      kernel.tanh_backward(row_of<T>(dx, row) + first, row_of<T>(dy, row) + first,
                           row_of<T>(y, row) + first, n);
    });
  });
}

void scale(Tensor& x, double factor) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_row_blocks(x, [&](index_t row, index_t first, index_t n) {
      kernel.scale(row_of<T>(x, row) + first, static_cast<T>(factor), n);
    });
  });
}

void gather_rows(Tensor& y, const Tensor& x, const Tensor& rows) {
  const std::int32_t* from = rows.data<std::int32_t>();
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_pieces(y.rows(), y.columns(), [&](index_t i) {
      assert(from[i] >= 0 && from[i] < x.rows());
      std::copy_n(row_of<T>(x, from[i]), x.columns(), row_of<T>(y, i));
    });
  });
}

void add_rows(Tensor& dx, const Tensor& dy, const Tensor& rows) {
  const std::int32_t* to = rows.data<std::int32_t>();
  with_type(dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    // Threads take columns, not rows: a row may be named more than once.
    for_column_blocks(dy.columns(), dy.rows(), [&](index_t first, index_t n) {
      for (index_t i = 0; i < dy.rows(); ++i) {
        assert(to[i] >= 0 && to[i] < dx.rows());
        T* target = row_of<T>(dx, to[i]) + first;
        kernel.add(target, target, row_of<T>(dy, i) + first, n);
      }
    });
  });
}

void add_sum_of_squares(Tensor& total, const Tensor& x) {
  std::vector<double> partial(
      static_cast<std::size_t>((x.count() + square_block - 1) / square_block));
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_blocks(x.count(), square_block, 1, [&](index_t first, index_t n) {
      partial[static_cast<std::size_t>(first / square_block)] =
          kernel.sum_of_squares(x.data<T>() + first, n);
    });
  });
  double sum = 0;
  for (const double value : partial) sum += value;
  total.data<double>()[0] += sum;
}

bool all_finite(const Tensor& x) {
  std::vector<char> finite(static_cast<std::size_t>((x.count() + square_block - 1) / square_block));
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_blocks(x.count(), square_block, 1, [&](index_t first, index_t n) {
      finite[static_cast<std::size_t>(first / square_block)] =
          kernel.all_finite(x.data<T>() + first, n) ? 1 : 0;
    });
  });
  return std::find(finite.begin(), finite.end(), 0) == finite.end();
}

void fill(Tensor& x, double value) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T element = static_cast<T>(value);
    const bool zero_bits = element == 0 && !std::signbit(element);
    for_row_blocks(x, [&](index_t row, index_t first, index_t n) {
      T* to = row_of<T>(x, row) + first;
      if (zero_bits) {  // lines that need not be read first
        std::memset(to, 0, static_cast<std::size_t>(n) * sizeof(T));
      } else {
        std::fill_n(to, n, element);
      }
    });
  });
}

}  // namespace lockstep::cpu
