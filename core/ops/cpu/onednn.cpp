#include "core/ops/cpu/onednn.hpp"

#include <algorithm>
#include <malloc.h>

#include <omp.h>

#include "core/ops/cpu/kernels.hpp"

namespace lockstep::cpu {
namespace {

// Part `number` of n cut into `parts`, at multiples of `unit`.
Part part_of(index_t n, index_t number, index_t parts, index_t unit) {
  const index_t units = (n + unit - 1) / unit;
  const index_t first = std::min(n, units * number / parts * unit);
  return {first, std::min(n, units * (number + 1) / parts * unit) - first};
}

// As many threads as the work keeps busy.
int team_for(index_t M, index_t N, index_t K) {
  constexpr double worth_a_thread = 1 << 20;  // multiply-adds: some 10 us
  const double work = static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K);
  const int threads = omp_in_parallel() != 0 ? 1 : omp_get_max_threads();
  return static_cast<int>(std::clamp(work / worth_a_thread, 1.0, static_cast<double>(threads)));
}

}  // namespace

// oneDNN reads its limit once and asks malloc for packing buffers in every call: what it frees is
// kept, so that a step touches no page for the first time.
void prepare_onednn() {
  static const bool prepared = [] {
    instruction_set();
    mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most that glibc takes
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    return true;
  }();
  (void)prepared;
}

const dnnl::engine& onednn_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::matmul::primitive_desc matmul_description(const dnnl::memory::desc& a,
                                                const dnnl::memory::desc& b,
                                                const dnnl::memory::desc& c,
                                                const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return {onednn_engine(), a, b, c, attributes};
#else
  return {dnnl::matmul::desc(a, b, c), attributes, onednn_engine()};
#endif
}

ProductGrid ProductGrid::by_rows(index_t M, index_t N, index_t K, index_t unit) {
  return {M, N, unit, team_for(M, N, K), 1};
}

// The rectangles have the shapes with the least to pack.
ProductGrid::ProductGrid(index_t M, index_t N, index_t K, index_t unit)
    : ProductGrid(M, N, unit, 1, 1) {
  const int team = team_for(M, N, K);
  const auto packed = [&](int rows) { return team / rows * M + rows * N; };
  rows_ = team;
  for (int rows = 1; rows < team; ++rows) {
    if (team % rows == 0 && packed(rows) < packed(rows_)) rows_ = rows;
  }
  columns_ = team / rows_;
}

ProductGrid::Piece ProductGrid::piece(int thread) const {
  return {part_of(M_, thread / columns_, rows_, unit_),
          part_of(N_, thread % columns_, columns_, unit_)};
}

}  // namespace lockstep::cpu
