#include "launch/throughput.hpp"

#include <algorithm>
#include <cstdlib>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <omp.h>

#include "core/ops/peak.hpp"

namespace lockstep {
namespace {

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

double sum_over_ranks(const Environment& environment, double value) {
  Tensor sum = Tensor::from(std::vector<double>{value}, {1});
  environment.world().all_reduce(sum, Reduce::sum, "control");
  return sum.data<double>()[0];
}

}  // namespace

int set_threads(const Environment& environment, int threads) {
  if (threads == 0 && std::getenv("OMP_NUM_THREADS") != nullptr) return omp_get_max_threads();
  if (threads == 0) {
    const auto online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    // A rank that the launcher bound has its cores for itself; unbound ranks share the node.
    threads =
        usable_cores() < online ? usable_cores() : std::max(1, online / environment.local_size());
  }
  omp_set_num_threads(threads);
  return threads;
}

double flops_per_token(const ModelConfig& model, index_t parameters, index_t sequence_length) {
  return 6.0 * static_cast<double>(parameters) + 12.0 * static_cast<double>(model.layers) *
                                                     static_cast<double>(sequence_length) *
                                                     static_cast<double>(model.width);
}

double measure_peak_gflops(const Environment& environment,
                           Device device,
                           DType dtype,
                           int threads) {
  // All ranks at once: ranks that share cores share their rate.
  environment.world().barrier();
  double peak = peak_gflops(device, dtype, threads);
  if (device.kind == Device::Kind::cuda) {
    const int gpus = std::min(num_gpus(), environment.local_size());
    peak *= static_cast<double>(gpus) / environment.local_size();
  }
  return sum_over_ranks(environment, peak);
}

double peak_memory_bytes(const Environment& environment, Device device) {
  if (device.kind == Device::Kind::cuda)
    return sum_over_ranks(environment, static_cast<double>(memory_use(device).peak));
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return sum_over_ranks(environment, static_cast<double>(usage.ru_maxrss) * 1024.0);
}

}  // namespace lockstep
