#include "launch/gpu_memory.hpp"

#include <algorithm>
#include <cmath>

#include "launch/transport_choice.hpp"

namespace lockstep {
namespace {

// In the order of what costs least.
std::string cures(const TrainerConfig& config, const MemoryFacts& facts) {
  const Degrees& degrees = config.degrees;
  std::string text;
  const auto add = [&text](const std::string& cure) { text += (text.empty() ? "" : ", ") + cure; };
  if (facts.microbatch_size > 1)
    add(build_string("a --microbatch-size below ", facts.microbatch_size));
  if (config.recompute != Recompute::full) add("--recompute full");
  if (!config.zero && degrees.dp * degrees.cp > 1) add("--zero 1");
  add("more ranks on more GPUs with --tp or --pp");
  return text;
}

// The stage and tp rank of world rank `rank` (parallel/topology.hpp).
MemoryParts need_of(const TrainerConfig& config, const MemoryFacts& facts, int rank) {
  const Degrees& d = config.degrees;
  return predict_memory(config, facts, rank / (d.dp * d.cp * d.tp), rank % d.tp);
}

// The ranks whose tensors lie on the same GPU as this one's.
std::vector<int> ranks_beside(const Environment& environment, Device device) {
  Tensor places = Tensor::zeros({environment.size()}, DType::i64);
  std::int64_t* place = places.data<std::int64_t>();
  place[environment.rank()] = gpu_place(device);
  environment.world().all_gather(places, "control");
  std::vector<int> ranks;
  for (int rank = 0; rank < environment.size(); ++rank)
    if (place[rank] == place[environment.rank()]) ranks.push_back(rank);
  return ranks;
}

}  // namespace

std::string why_too_large(const TrainerConfig& config,
                          const MemoryFacts& facts,
                          const GpuMemory& memory,
                          const std::vector<GpuNeed>& needs) {
  double all = 0;
  const GpuNeed* largest = &needs.front();
  for (const GpuNeed& need : needs) {
    all += need.parts.total();
    if (need.parts.total() > largest->parts.total()) largest = &need;
  }
  if (all <= static_cast<double>(memory.free_bytes)) return "";
  const auto gigabytes = [](double bytes) { return std::round(bytes / 1e7) / 100; };
  const std::string others = needs.size() == 1
                                 ? ""
                                 : build_string(", ", needs.size(), " ranks share it and need ",
                                                gigabytes(all), " GB together");
  return build_string(to_string(config.device), " has ",
                      gigabytes(static_cast<double>(memory.free_bytes)), " GB free of ",
                      gigabytes(static_cast<double>(memory.all_bytes)), ", and rank ",
                      largest->rank, " will need ", memory_text(largest->parts), others, "; use ",
                      cures(config, facts));
}

void require_gpu_memory(const Environment& environment,
                        const TrainerConfig& config,
                        const MemoryFacts& facts) {
  std::vector<GpuNeed> needs;
  for (const int rank : ranks_beside(environment, config.device))
    needs.push_back({need_of(config, facts, rank), rank});
  environment.agree([&] { (void)gpu_memory(config.device); });
  environment.world().barrier();  // now every rank has taken what a process takes
  environment.agree([&] {
    const auto memory = gpu_memory(config.device);
    const std::string why = memory ? why_too_large(config, facts, *memory, needs) : "";
    require(why.empty(), "--device cuda: ", why);
  });
  environment.world().barrier();  // before one of them takes more
}

}  // namespace lockstep
