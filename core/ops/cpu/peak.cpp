#include "core/ops/cpu/peak.hpp"

#include <algorithm>
#include <chrono>

#include <immintrin.h>

#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {
namespace {

constexpr index_t rounds = 1'000'000, chains = 12;  // about 3 ms

// Pairs of bf16 products added to 16 fp32 sums, twelve independent chains of them.
__attribute__((target("avx512f,avx512bf16"))) float bf16_rounds() {
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.999f), _mm512_set1_ps(0.001f));
  __m512 c0 = _mm512_set1_ps(0.001f), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0,
         c8 = c0, c9 = c0, c10 = c0, c11 = c0;
  for (index_t i = 0; i < rounds; ++i) {
    c0 = _mm512_dpbf16_ps(c0, a, a);
    c1 = _mm512_dpbf16_ps(c1, a, a);
    c2 = _mm512_dpbf16_ps(c2, a, a);
    c3 = _mm512_dpbf16_ps(c3, a, a);
    c4 = _mm512_dpbf16_ps(c4, a, a);
    c5 = _mm512_dpbf16_ps(c5, a, a);
    c6 = _mm512_dpbf16_ps(c6, a, a);
    c7 = _mm512_dpbf16_ps(c7, a, a);
    c8 = _mm512_dpbf16_ps(c8, a, a);
    c9 = _mm512_dpbf16_ps(c9, a, a);
    c10 = _mm512_dpbf16_ps(c10, a, a);
    c11 = _mm512_dpbf16_ps(c11, a, a);
  }
  const __m512 sum = ((c0 + c1) + (c2 + c3)) + ((c4 + c5) + (c6 + c7)) + ((c8 + c9) + (c10 + c11));
  return sum[0];
}

// GFLOP/s of the best run of `run`, each `work` operations on every thread at once. Many: threads
// that have just started may share a core for a while.
template <typename F>
double best_rate(double work, int threads, F run) {
  double best = 0;
  for (int i = 0; i < 40; ++i) {
    double sum = 0;  // used, so that no run can be left out
    const auto begin = std::chrono::steady_clock::now();
#pragma omp parallel num_threads(threads) reduction(+ : sum)
    sum += static_cast<double>(run());
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    if (sum > 0) best = std::max(best, work * threads / seconds.count());
  }
  return best * 1e-9;
}

}  // namespace

double peak_gflops(Device, DType precision, int threads) {
  if (precision == DType::bf16 && instruction_set() == InstructionSet::avx512 && has_avx512_bf16())
    return best_rate(4.0 * 16 * chains * rounds, threads, bf16_rounds);
  double rate = 0;
  with_type(value_type(precision), [&](auto zero) {
    const Kernels<decltype(zero)>& table = kernels<decltype(zero)>();
    const double work = 2.0 * static_cast<double>(table.lanes * chains * rounds);
    rate = best_rate(work, threads, [&] { return table.multiply_add_rounds(rounds); });
  });
  return rate;
}

}  // namespace lockstep::cpu
