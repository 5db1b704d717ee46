#include "core/ops/cpu/peak.hpp"

#include <algorithm>
#include <chrono>

#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {
namespace {

// Seconds of one run of `rounds` on every thread at once.
template <typename T>
double run_once(const Kernels<T>& kernels, index_t rounds, int threads) {
  double sum = 0;  // used, so that no run can be left out
  const auto begin = std::chrono::steady_clock::now();
#pragma omp parallel num_threads(threads) reduction(+ : sum)
  sum += static_cast<double>(kernels.multiply_add_rounds(rounds));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return sum > 0 ? seconds.count() : 1;
}

}  // namespace

double peak_gflops(Device, DType precision, int threads) {
  constexpr index_t rounds = 1'000'000, chains = 12;  // about 3 ms
  double best = 0;
  with_type(value_type(precision), [&](auto zero) {
    using T = decltype(zero);
    const Kernels<T>& table = kernels<T>();
    const double work = 2.0 * static_cast<double>(rounds * chains * table.lanes * threads);
    for (int run = 0; run < 10; ++run)
      best = std::max(best, work / run_once(table, rounds, threads));
  });
  return best * 1e-9;
}

}  // namespace lockstep::cpu
