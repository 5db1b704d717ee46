#include "launch/throughput.hpp"

#include <algorithm>
#include <cstdlib>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include <omp.h>

#include "core/ops/peak.hpp"
#include "launch/affinity.hpp"

namespace lockstep {
namespace {

// Gives each worker of the team a core of its own. The first thread keeps them all: those it starts
// (loading, saving) inherit its cores, and it settles where no worker is. Ranks that share cores
// take them in turn; a machine with fewer cores than threads is left to its scheduler, and so is a
// user who sets OMP_PROC_BIND.
void pin_workers(int threads, const std::vector<int>& cores, int first) {
  if (std::getenv("OMP_PROC_BIND") != nullptr) return;
  if (first + threads > static_cast<int>(cores.size())) return;
#pragma omp parallel num_threads(threads)
  if (omp_get_thread_num() > 0) {
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(cores[static_cast<std::size_t>(first + omp_get_thread_num())], &own);
    sched_setaffinity(0, sizeof(own), &own);
  }
}

double sum_over_ranks(const Environment& environment, double value) {
  Tensor sum = Tensor::from(std::vector<double>{value}, {1});
  environment.world().all_reduce(sum, Reduce::sum, "control");
  return sum.data<double>()[0];
}

}  // namespace

int set_threads(const Environment& environment, int threads) {
  const std::vector<int> cores = usable_cores();
  const auto online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const auto usable = static_cast<int>(cores.size());
  // A rank that the launcher bound has its cores for itself; unbound ranks share the node.
  const bool bound = usable < online;
  if (threads == 0 && std::getenv("OMP_NUM_THREADS") != nullptr) threads = omp_get_max_threads();
  if (threads == 0) threads = bound ? usable : std::max(1, online / environment.local_size());
  omp_set_num_threads(threads);
  const bool fits = bound || threads * environment.local_size() <= usable;
  if (fits) pin_workers(threads, cores, bound ? 0 : threads * environment.local_rank());
  return threads;
}

double flops_per_token(const ModelConfig& model, index_t parameters, index_t sequence_length) {
  return 6.0 * static_cast<double>(parameters) + 12.0 * static_cast<double>(model.layers) *
                                                     static_cast<double>(sequence_length) *
                                                     static_cast<double>(model.width);
}

double action_flops(const TrainerConfig& config,
                    const StageMap& stages,
                    const Action& action,
                    index_t tokens) {
  const StageRange range = stages.ranges[static_cast<std::size_t>(action.stage)];
  const std::vector<LayerSpec> layers = plan_layers(config.model, config.sequence_length);
  double multiply_adds = 0;  // per token
  for (index_t i = range.first; i < range.last; ++i) {
    const LayerSpec& layer = layers[static_cast<std::size_t>(i)];
    if (layer.kind != LayerSpec::Kind::front) multiply_adds += layer.cost;
  }
  // A product has two gradients, of its input (B) and of its weight (W).
  const bool both = action.kind == Action::Kind::backward && !config.schedule.splits_backward;
  return 2 * multiply_adds * static_cast<double>(tokens) / config.degrees.tp * (both ? 2 : 1);
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
