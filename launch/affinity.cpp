#include "launch/affinity.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <sched.h>
#include <unistd.h>

#include <omp.h>

#include "core/gpu.hpp"
#include "launch/option_values.hpp"

namespace lockstep {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "0-3,8,10-11"; nothing of what is not written so.
std::vector<int> parse_cores(const std::string& text) {
  std::vector<int> cores;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string range = text.substr(at, end - at);
    const std::size_t dash = range.find('-');
    const auto first = parse_integer(range.substr(0, dash));
    const auto last = dash == std::string::npos ? first : parse_integer(range.substr(dash + 1));
    if (!first || !last || *first < 0 || *last >= CPU_SETSIZE) return {};
    for (auto core = *first; core <= *last; ++core) cores.push_back(static_cast<int>(core));
    at = end + 1;
  }
  return cores;
}

}  // namespace

std::vector<int> usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return {0};
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

std::vector<int> cores_near(const std::string& pci_address, const std::string& sysfs) {
  if (pci_address.empty()) return {};
  const auto node =
      parse_integer(first_line(sysfs + "/bus/pci/devices/" + pci_address + "/numa_node"));
  if (!node || *node < 0) return {};  // -1: unknown
  return parse_cores(
      first_line(sysfs + "/devices/system/node/node" + std::to_string(*node) + "/cpulist"));
}

std::vector<int> cores_of_rank(const std::vector<int>& allowed,
                               const std::vector<std::vector<int>>& near,
                               int local_rank,
                               bool bound) {
  const auto own = near.begin() + local_rank;
  std::vector<int> cores;
  std::set_intersection(allowed.begin(), allowed.end(), own->begin(), own->end(),
                        std::back_inserter(cores));
  if (bound) return cores;
  const auto sharers = static_cast<int>(std::count(near.begin(), near.end(), *own));
  const auto before = static_cast<int>(std::count(near.begin(), own, *own));
  const Span part = span_of(static_cast<index_t>(cores.size()), before, sharers);
  return {cores.begin() + part.first, cores.begin() + part.first + part.count};
}

void stay_near(const Environment& environment, Device device, int threads) {
  if (device.kind != Device::Kind::cuda || std::getenv("OMP_PROC_BIND") != nullptr) return;
  if (threads == 0 && std::getenv("OMP_NUM_THREADS") != nullptr) threads = omp_get_max_threads();
  const int gpus = num_gpus();
  std::vector<std::vector<int>> near;
  for (int rank = 0; rank < environment.local_size(); ++rank)
    near.push_back(cores_near(pci_address({Device::Kind::cuda, rank % gpus})));
  const std::vector<int> allowed = usable_cores();
  const bool bound = static_cast<long>(allowed.size()) < sysconf(_SC_NPROCESSORS_ONLN);
  const std::vector<int> cores = cores_of_rank(allowed, near, environment.local_rank(), bound);
  if (cores.empty() || cores == allowed || static_cast<int>(cores.size()) < threads) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

}  // namespace lockstep
