// Attention by tiles of 64 queries by 64 keys; one thread works a whole (sample, head), so no sum
// crosses threads. Forward: keys in ascending order with a running maximum and sum per row.
// Backward: for each tile of keys all its queries, probabilities again from lse. Tiles that the
// causal mask empties are never formed.
#include "core/ops/cpu/attention.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include <omp.h>

#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"
#include "core/portable_math.hpp"

namespace lockstep::cpu {
namespace {

constexpr index_t tile = AttentionTile::size;

// One head's rows of one sample inside a (B*T, heads*HS) matrix.
template <typename T>
struct HeadRows {
  T* data;
  index_t stride;

  T* operator[](index_t row) const { return data + row * stride; }
};

// Rows of a sample: where they begin, how many there are, and the first of them that are valid.
struct Rows {
  index_t first, count, valid;
};
struct Piece {
  index_t sample, head;
  Rows queries, keys;
};

Piece piece_of(const AttentionSpec& spec, index_t number) {
  const index_t sample = number / spec.heads;
  const auto rows = [&](index_t T, index_t first_position) {
    Rows rows{sample * T, T, T};
    if (spec.row_starts.defined()) {
      const std::int64_t* starts = spec.row_starts.data<std::int64_t>() + sample;
      rows = {starts[0], starts[1] - starts[0], starts[1] - starts[0]};
    }
    if (spec.lengths.defined()) {
      const index_t length = spec.lengths.data<std::int32_t>()[sample];
      assert(length >= 0);
      rows.valid = std::clamp<index_t>(length - first_position, 0, rows.count);
    }
    return rows;
  };
  return {sample, number % spec.heads, rows(spec.T_q, spec.first_query),
          rows(spec.T_k, spec.first_key)};
}

template <typename T>
HeadRows<const T> rows_of(const Tensor& x, const Piece& piece, const Rows& rows, index_t HS) {
  return {x.data<T>() + rows.first * x.row_stride() + piece.head * HS, x.row_stride()};
}
template <typename T>
HeadRows<T> rows_of(Tensor& x, const Piece& piece, const Rows& rows, index_t HS) {
  return {x.data<T>() + rows.first * x.row_stride() + piece.head * HS, x.row_stride()};
}

index_t first_of_lse(const Piece& piece, const AttentionSpec& spec) {
  return piece.queries.first * spec.heads + piece.head * piece.queries.count;
}

// Rows of a head lie whole rows of the model apart, where few of them share the first cache: what a
// tile reads again and again is copied.   to (n, HS)
template <typename T>
void copy_rows(T* to, HeadRows<const T> from, index_t first, index_t n, index_t HS) {
  for (index_t i = 0; i < n; ++i) std::copy_n(from[first + i], HS, to + i * HS);
}
template <typename T>
void copy_back(HeadRows<T> to, const T* from, index_t first, index_t n, index_t HS) {
  for (index_t i = 0; i < n; ++i) std::copy_n(from + i * HS, HS, to[first + i]);
}

// to (HS, 64) = transpose of n <= 64 rows, the columns past n zero.
template <typename T>
void pack_transposed(T* to, HeadRows<const T> from, index_t first, index_t n, index_t HS) {
  kernels<T>().pack_panel(to, tile, from[first], from.stride, 1, n, HS);
}

// The dropout words of one tile, and what the kernels need to know of it.
class Tiles {
 public:
  Tiles(const AttentionSpec& spec, const Piece& piece, std::uint32_t* words)
      : causal_(spec.mask == Mask::causal),
        ahead_(spec.first_query - spec.first_key),
        first_query_(spec.first_query),
        first_key_(spec.first_key),
        threshold_(keep_threshold(spec.dropout)),
        words_(words) {
    if (!drops()) return;
    const auto id = static_cast<std::uint64_t>(spec.sample_ids.data<std::int64_t>()[piece.sample]);
    const auto head = static_cast<std::uint32_t>(spec.first_head + piece.head);
    row_ = {0,
            static_cast<std::uint32_t>(id),
            (static_cast<std::uint32_t>(id >> 32) & 0xffffu) | (head << 16),
            spec.dropout_key[0],
            spec.dropout_key[1],
            static_cast<std::uint32_t>(threshold_)};
  }

  bool drops() const { return threshold_ >> 32 == 0; }
  bool empty(index_t i0, index_t rows, index_t j0) const {
    return causal_ && j0 > i0 + ahead_ + rows - 1;
  }
  // The first row of tiles that has a query which sees a key at or past j0.
  index_t first_query_tile(index_t j0) const {
    return causal_ ? std::max<index_t>(0, j0 - ahead_) / tile * tile : 0;
  }

  template <typename T>
  AttentionTile at(index_t i0, index_t rows, index_t j0, index_t n, const Kernels<T>& kernel) {
    for (index_t i = 0; drops() && i < rows; ++i) {
      row_.c1 = static_cast<std::uint32_t>(first_query_ + i0 + i);
      draw(words_ + i * tile, first_key_ + j0, kernel);
    }
    return {rows, n, causal_ ? i0 + ahead_ - j0 + 1 : n, drops() ? words_ : nullptr,
            row_.threshold};
  }

 private:
  // The words of keys [first, first + tile); a group of four may begin before the first of them.
  template <typename T>
  void draw(std::uint32_t* words, index_t first, const Kernels<T>& kernel) {
    const index_t before = first % 4;
    if (before == 0) return kernel.philox_words(words, first / 4, tile / 4, row_);
    std::array<std::uint32_t, tile + 4> groups;
    kernel.philox_words(groups.data(), first / 4, tile / 4 + 1, row_);
    std::copy_n(groups.data() + before, tile, words);
  }

  bool causal_;
  index_t ahead_;  // position of query row 0 less that of key row 0
  index_t first_query_, first_key_;
  std::uint64_t threshold_;
  std::uint32_t* words_;
  DropoutRow row_{};
};

// Buffers of each thread, taken before the threads start: an exception must not leave a parallel
// region.
struct Scratch {
  Scratch(index_t elements, DType dtype)
      : numbers(Tensor::empty({omp_get_max_threads(), elements}, dtype)),
        words(Tensor::empty({omp_get_max_threads(), tile * tile}, DType::i32)) {}

  template <typename T>
  T* mine() {
    return numbers.data<T>() + omp_get_thread_num() * numbers.columns();
  }
  std::uint32_t* my_words() {
    return reinterpret_cast<std::uint32_t*>(words.data<std::int32_t>() +
                                            omp_get_thread_num() * words.columns());
  }

  Tensor numbers, words;
};

index_t rounded_to_tiles(index_t n) { return (n + tile - 1) / tile * tile; }

template <typename T>
void forward_piece(const Piece& piece,
                   HeadRows<T> y,
                   T* lse,
                   HeadRows<const T> q,
                   HeadRows<const T> k,
                   HeadRows<const T> v,
                   const AttentionSpec& spec,
                   T* scratch,
                   std::uint32_t* words) {
  const auto& kernel = kernels<T>();
  const index_t HS = spec.head_size, T_q = piece.queries.valid, T_k = piece.keys.valid;
  const T factor = static_cast<T>(1.0 / (1.0 - spec.dropout));
  T* keys = scratch;  // all tiles of k, transposed
  T* values = keys + HS * rounded_to_tiles(T_k);
  T* p = values + HS * rounded_to_tiles(T_k);
  T* y_tile = p + tile * tile;
  T* row_max = y_tile + tile * HS;
  T* row_sum = row_max + tile;
  Tiles tiles(spec, piece, words);
  for (index_t j0 = 0; j0 < T_k; j0 += tile) {
    pack_transposed(keys + j0 * HS, k, j0, std::min(tile, T_k - j0), HS);
  }
  copy_rows(values, v, 0, T_k, HS);
  for (index_t i0 = 0; i0 < T_q; i0 += tile) {
    const index_t rows = std::min(tile, T_q - i0);
    std::fill_n(y_tile, rows * HS, T{0});
    std::fill_n(row_max, rows, -std::numeric_limits<T>::infinity());
    std::fill_n(row_sum, rows, T{0});
    for (index_t j0 = 0; j0 < T_k && !tiles.empty(i0, rows, j0); j0 += tile) {
      const index_t n = std::min(tile, T_k - j0);
      kernel.multiply(p, tile, q[i0], q.stride, 1, keys + j0 * HS, tile, rows, tile, HS, false);
      kernel.softmax_tile(p, row_max, row_sum, y_tile, HS, static_cast<T>(spec.scale),
                          tiles.at(i0, rows, j0, n, kernel));
      kernel.multiply(y_tile, HS, p, tile, 1, values + j0 * HS, HS, rows, HS, n, true);
    }
    for (index_t i = 0; i < rows; ++i) {
      const bool any =
          row_sum[i] != 0;  // false only where there are no keys at all; NaN counts as any
      const T by = any ? factor / row_sum[i] : T{0};
      for (index_t c = 0; c < HS; ++c) y[i0 + i][c] = y_tile[i * HS + c] * by;
      lse[i0 + i] =
          any ? row_max[i] + static_cast<T>(natural_log(static_cast<double>(row_sum[i]))) : T{0};
    }
  }
  for (index_t i = T_q; i < piece.queries.count; ++i) {
    std::fill_n(y[i], HS, T{0});
    lse[i] = 0;
  }
}

template <typename T>
struct Gradients {
  HeadRows<T> dq, dk, dv;
};
template <typename T>
struct Inputs {
  HeadRows<const T> dy, q, k, v, y;
  const T* lse;
};

template <typename T>
void backward_piece(const Piece& piece,
                    const Gradients<T>& to,
                    const Inputs<T>& in,
                    const AttentionSpec& spec,
                    T* scratch,
                    std::uint32_t* words) {
  const auto& kernel = kernels<T>();
  const index_t HS = spec.head_size, T_q = piece.queries.valid, T_k = piece.keys.valid;
  T* keys = scratch;
  T* values = keys + HS * tile;
  T* k = values + HS * tile;  // the tiles at work, in rows
  T* q = k + HS * tile;
  T* dy = q + HS * tile;
  T* dk = dy + HS * tile;
  T* dv = dk + HS * tile;
  T* p = dv + HS * tile;
  T* dp = p + tile * tile;
  T* row_dots = dp + tile * tile;
  Tiles tiles(spec, piece, words);
  for (index_t i = 0; i < piece.queries.count; ++i) std::fill_n(to.dq[i], HS, T{0});
  for (index_t j = T_k; j < piece.keys.count; ++j) {
    std::fill_n(to.dk[j], HS, T{0});
    std::fill_n(to.dv[j], HS, T{0});
  }
  for (index_t i = 0; i < T_q; ++i) row_dots[i] = kernel.dot(in.dy[i], in.y[i], HS);
  for (index_t j0 = 0; j0 < T_k; j0 += tile) {
    const index_t n = std::min(tile, T_k - j0);
    pack_transposed(keys, in.k, j0, n, HS);
    pack_transposed(values, in.v, j0, n, HS);
    copy_rows(k, in.k, j0, n, HS);
    std::fill_n(dk, n * HS, T{0});
    std::fill_n(dv, n * HS, T{0});
    for (index_t i0 = tiles.first_query_tile(j0); i0 < T_q; i0 += tile) {
      const index_t rows = std::min(tile, T_q - i0);
      copy_rows(q, in.q, i0, rows, HS);
      copy_rows(dy, in.dy, i0, rows, HS);
      kernel.multiply(p, tile, q, HS, 1, keys, tile, rows, tile, HS, false);
      kernel.multiply(dp, tile, dy, HS, 1, values, tile, rows, tile, HS, false);
      kernel.softmax_tile_backward(p, dp, in.lse + i0, row_dots + i0, static_cast<T>(spec.scale),
                                   static_cast<T>(1.0 / (1.0 - spec.dropout)),
                                   tiles.at(i0, rows, j0, n, kernel));
      kernel.multiply(dv, HS, p, 1, tile, dy, HS, n, HS, rows, true);
      kernel.multiply(dk, HS, dp, 1, tile, q, HS, n, HS, rows, true);
      kernel.multiply(to.dq[i0], to.dq.stride, dp, tile, 1, k, HS, rows, HS, n, true);
    }
    copy_back(to.dk, dk, j0, n, HS);
    copy_back(to.dv, dv, j0, n, HS);
  }
}

}  // namespace

void attention_forward(Tensor& y,
                       Tensor& lse,
                       const Tensor& q,
                       const Tensor& k,
                       const Tensor& v,
                       const AttentionSpec& spec) {
  const index_t HS = spec.head_size;
  Scratch scratch(2 * HS * rounded_to_tiles(spec.T_k) + tile * tile + tile * HS + 2 * tile,
                  q.dtype());
  with_type(q.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_pieces(spec.B * spec.heads, spec.T_q * spec.T_k * HS, [&](index_t number) {
      const Piece piece = piece_of(spec, number);
      forward_piece<T>(
          piece, rows_of<T>(y, piece, piece.queries, HS), lse.data<T>() + first_of_lse(piece, spec),
          rows_of<T>(q, piece, piece.queries, HS), rows_of<T>(k, piece, piece.keys, HS),
          rows_of<T>(v, piece, piece.keys, HS), spec, scratch.mine<T>(), scratch.my_words());
    });
  });
}

void attention_backward(Tensor& dq,
                        Tensor& dk,
                        Tensor& dv,
                        const Tensor& dy,
                        const Tensor& q,
                        const Tensor& k,
                        const Tensor& v,
                        const Tensor& y,
                        const Tensor& lse,
                        const AttentionSpec& spec) {
  const index_t T_q = spec.T_q, T_k = spec.T_k, HS = spec.head_size;
  Scratch scratch(7 * HS * tile + 2 * tile * tile + T_q, q.dtype());
  with_type(q.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_pieces(spec.B * spec.heads, T_q * T_k * HS, [&](index_t number) {
      const Piece piece = piece_of(spec, number);
      const Gradients<T> to = {rows_of<T>(dq, piece, piece.queries, HS),
                               rows_of<T>(dk, piece, piece.keys, HS),
                               rows_of<T>(dv, piece, piece.keys, HS)};
      const Inputs<T> in = {
          rows_of<T>(dy, piece, piece.queries, HS), rows_of<T>(q, piece, piece.queries, HS),
          rows_of<T>(k, piece, piece.keys, HS),     rows_of<T>(v, piece, piece.keys, HS),
          rows_of<T>(y, piece, piece.queries, HS),  lse.data<T>() + first_of_lse(piece, spec)};
      backward_piece<T>(piece, to, in, spec, scratch.mine<T>(), scratch.my_words());
    });
  });
}

}  // namespace lockstep::cpu
