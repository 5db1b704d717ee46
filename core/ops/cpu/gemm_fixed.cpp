// Products whose sums have a fixed order. K is cut into blocks that follow one another within a
// chain; of each, op(a) and op(b) are packed into panels of one register tile, and threads take
// groups of tiles of c. A chain that is not the last of its tree rests in `levels`, where chain s
// goes to the level of its trailing ones: those below hold the sums it is to be joined with.
// Loops and packing follow Goto & van de Geijn, "Anatomy of high-performance matrix multiplication"
// (2008).
#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "core/group.hpp"
#include "core/ops/cpu/gemm.hpp"
#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {
namespace {

// None of these changes a bit.
constexpr index_t most_depth = 384;     // of a block of K: a panel of a stays in the first cache
constexpr index_t most_rows = 1024;     // of c at a time: packed a and b stay in the last cache
constexpr index_t most_columns = 3072;  // of c at a time
constexpr index_t group_rows = 8;       // tiles of a piece
constexpr index_t group_columns = 8;  // tiles of a piece: its panels of b stay in the second cache

// Indices [k0, k0 + depth) of chain `chain`.
struct Block {
  index_t k0 = 0, depth = 0, chain = 0;
  bool opens = false, closes = false;
};

std::vector<Block> blocks_of(const SumOrder& order) {
  std::vector<Block> blocks;
  index_t chain = 0;
  bool opens = true;
  for (const SumRange& range : order.ranges()) {
    const index_t pieces = std::max<index_t>(1, (range.count + most_depth - 1) / most_depth);
    for (index_t i = 0; i < pieces; ++i) {
      const Span part = span_of(range.count, static_cast<int>(i), static_cast<int>(pieces));
      const bool closes = range.closes && i == pieces - 1;
      // A chain without terms is +0 and takes part in the tree all the same.
      if (part.count > 0 || closes) {
        blocks.push_back({range.first + part.first, part.count, chain, opens, closes});
        opens = closes;
      }
    }
    if (range.closes) ++chain;
  }
  return blocks;
}

// A matrix in memory: element (i, k) at i * row + k * column.
template <typename T>
struct View {
  const T* data;
  index_t row, column;
};

index_t tiles_of(index_t n, index_t tile) { return (n + tile - 1) / tile; }

template <typename T>
class FixedProduct {
 public:
  FixedProduct(Tensor& c, View<T> a, View<T> b, const SumOrder& order, Accumulate accumulate)
      : kernel_(kernels<T>()),
        tile_rows_(kernel_.panel_rows),
        tile_columns_(kernel_.panel_columns),
        c_(c.data<T>()),
        c_row_(c.row_stride()),
        M_(c.rows()),
        N_(c.columns()),
        a_(a),
        b_(b),
        blocks_(blocks_of(order)),
        root_level_(std::countr_zero(static_cast<std::uint64_t>(order.num_chains()))),
        accumulate_(accumulate == Accumulate::yes) {
    const index_t columns = std::min(N_, most_columns), rows = std::min(M_, most_rows);
    index_t depth = 1;
    for (const Block& block : blocks_) depth = std::max(depth, block.depth);
    // A vector of room behind each panel: packing may write past the end.
    a_panel_ = depth * tile_rows_ + kernel_.lanes;
    b_panel_ = depth * tile_columns_ + kernel_.lanes;
    level_row_ = tiles_of(columns, tile_columns_) * tile_columns_;
    level_size_ = tiles_of(rows, tile_rows_) * tile_rows_ * level_row_;
    packed_a_ = Tensor::empty({tiles_of(rows, tile_rows_) * a_panel_}, dtype_of<T>);
    packed_b_ = Tensor::empty({tiles_of(columns, tile_columns_) * b_panel_}, dtype_of<T>);
    if (root_level_ > 0) levels_ = Tensor::empty({root_level_ * level_size_}, dtype_of<T>);
  }

  void run() {
    for (index_t j0 = 0; j0 < N_; j0 += most_columns) {
      for (index_t i0 = 0; i0 < M_; i0 += most_rows) {
        part_ = {i0, std::min(most_rows, M_ - i0), j0, std::min(most_columns, N_ - j0)};
        for (const Block& block : blocks_) multiply(block);
      }
    }
  }

 private:
  // The part of c at work.
  struct Part {
    index_t i0 = 0, rows = 0, j0 = 0, columns = 0;
  };

  void multiply(const Block& block) {
    const index_t down = tiles_of(part_.rows, tile_rows_);
    const index_t across = tiles_of(part_.columns, tile_columns_);
    const index_t groups_down = tiles_of(down, group_rows);
    const index_t groups = groups_down * tiles_of(across, group_columns);
    const index_t work = block.depth * part_.rows * part_.columns;
#pragma omp parallel if (work >= index_t{1} << 18)
    {
#pragma omp for schedule(static) nowait
      for (index_t j = 0; j < across; ++j) pack_columns(block, j);
#pragma omp for schedule(static)
      for (index_t i = 0; i < down; ++i) pack_rows(block, i);
#pragma omp for schedule(dynamic)
      for (index_t group = 0; group < groups; ++group) {
        const index_t i0 = group % groups_down * group_rows;
        const index_t j0 = group / groups_down * group_columns;
        for (index_t i = i0; i < std::min(i0 + group_rows, down); ++i) {
          for (index_t j = j0; j < std::min(j0 + group_columns, across); ++j) {
            multiply_tile(block, i, j);
          }
        }
      }
    }
  }

  void pack_rows(const Block& block, index_t i) {
    const index_t row = i * tile_rows_;
    kernel_.pack_panel(packed_a_.data<T>() + i * a_panel_, tile_rows_,
                       a_.data + (part_.i0 + row) * a_.row + block.k0 * a_.column, a_.row,
                       a_.column, std::min(tile_rows_, part_.rows - row), block.depth);
  }

  void pack_columns(const Block& block, index_t j) {
    const index_t column = j * tile_columns_;
    kernel_.pack_panel(packed_b_.data<T>() + j * b_panel_, tile_columns_,
                       b_.data + (part_.j0 + column) * b_.column + block.k0 * b_.row, b_.column,
                       b_.row, std::min(tile_columns_, part_.columns - column), block.depth);
  }

  T* level(index_t number, index_t i, index_t j) {
    return levels_.data<T>() + number * level_size_ + i * tile_rows_ * level_row_ +
           j * tile_columns_;
  }

  void multiply_tile(const Block& block, index_t i, index_t j) {
    PanelTile<T> tile{};
    tile.a = packed_a_.data<T>() + i * a_panel_;
    tile.b = packed_b_.data<T>() + j * b_panel_;
    tile.K = block.depth;
    // Where the chain's sum goes: bit l of the chain's number is clear for the first level that is
    // free.
    const index_t goes_to = std::countr_one(static_cast<std::uint64_t>(block.chain));
    if (block.closes) {
      tile.num_joined = goes_to;
      tile.joined_stride = level_row_;
      for (index_t l = 0; l < goes_to; ++l) tile.joined[l] = level(l, i, j);
    }
    if (goes_to < root_level_) {
      tile.to = level(goes_to, i, j);
      tile.to_stride = tile.start_stride = level_row_;
      if (!block.opens) tile.start = tile.to;
      kernel_.multiply_panels(tile);
    } else {
      multiply_into_c(tile, block, i, j);
    }
  }

  // The root of the tree. A tile at the edge of c is worked beside it.
  void multiply_into_c(PanelTile<T>& tile, const Block& block, index_t i, index_t j) {
    const index_t row = i * tile_rows_, column = j * tile_columns_;
    T* c = c_ + (part_.i0 + row) * c_row_ + part_.j0 + column;
    const index_t rows = std::min(tile_rows_, part_.rows - row);
    const index_t columns = std::min(tile_columns_, part_.columns - column);
    const bool starts_from_c = !block.opens || (accumulate_ && root_level_ == 0);
    tile.to = c;
    tile.to_stride = tile.start_stride = c_row_;
    if (starts_from_c) tile.start = c;
    if (rows == tile_rows_ && columns == tile_columns_) return kernel_.multiply_panels(tile);

    std::array<T, most_tile> beside{};
    tile.to = beside.data();
    tile.to_stride = tile.start_stride = tile_columns_;
    if (starts_from_c) {
      tile.start = tile.to;
      for (index_t r = 0; r < rows; ++r) std::copy_n(c + r * c_row_, columns, &beside[at(r)]);
    }
    kernel_.multiply_panels(tile);
    for (index_t r = 0; r < rows; ++r) std::copy_n(&beside[at(r)], columns, c + r * c_row_);
  }

  std::size_t at(index_t row) const { return static_cast<std::size_t>(row * tile_columns_); }

  static constexpr std::size_t most_tile = 8 * 48;

  const Kernels<T>& kernel_;
  const index_t tile_rows_, tile_columns_;
  T* c_;
  const index_t c_row_, M_, N_;
  const View<T> a_, b_;
  const std::vector<Block> blocks_;
  const index_t root_level_;
  const bool accumulate_;
  index_t a_panel_ = 0, b_panel_ = 0, level_row_ = 0, level_size_ = 0;
  Tensor packed_a_, packed_b_, levels_;
  Part part_;
};

template <typename T>
View<T> view_of(const Tensor& x, Transpose transpose) {
  if (transpose == Transpose::yes) return {x.data<T>(), 1, x.row_stride()};
  return {x.data<T>(), x.row_stride(), 1};
}

}  // namespace

void gemm_fixed(Tensor& c,
                const Tensor& a,
                Transpose transpose_a,
                const Tensor& b,
                Transpose transpose_b,
                const SumOrder& order,
                Accumulate accumulate) {
  with_type(c.dtype(), [&](auto zero) {
    using T = decltype(zero);
    FixedProduct<T>(c, view_of<T>(a, transpose_a), view_of<T>(b, transpose_b), order, accumulate)
        .run();
  });
}

}  // namespace lockstep::cpu
