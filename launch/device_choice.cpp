#include "launch/device_choice.hpp"

#include "core/error.hpp"
#include "core/ops/cpu_features.hpp"

namespace lockstep {

DeviceChoice device_choice_named(const std::string& name) {
  if (name == "cuda") return DeviceChoice::cuda;
  return name == "cpu" ? DeviceChoice::cpu : DeviceChoice::automatic;
}

namespace {

Device the_cpu(DType precision) {
  require(precision != DType::bf16 || bf16_products(),
          "--precision bf16: this CPU has no AVX512_BF16 or AMX, or ",
          "LOCKSTEP_CPU asks for less; use --precision fp32");
  return {};
}

}  // namespace

Device choose_device(const Environment& environment,
                     DeviceChoice choice,
                     DType precision,
                     bool reproducible) {
  const bool by_name = choice == DeviceChoice::cuda;
  if (choice == DeviceChoice::cpu || (reproducible && !by_name)) return the_cpu(precision);
  if (precision == DType::f64) {
    require(!by_name, "--precision fp64 is computed on the CPU alone; ",
            "use --device cpu, or --precision fp32 with --device cuda");
    return {};
  }
  std::string reason;
  const int gpus = num_gpus(&reason);
  if (gpus == 0) {
    require(!by_name, "--device cuda: ", reason, "; or use --device cpu");
    return the_cpu(precision);
  }
  return {Device::Kind::cuda, environment.local_rank() % gpus};
}

void check_graphs(const Environment& environment, Device device) {
  require(device.kind == Device::Kind::cuda,
          "--cuda-graph is for a GPU, and this run computes on the CPU; leave it out");
  require(environment.size() == 1, "--cuda-graph is for a run of one rank, and this one has ",
          environment.size(), ", which wait for each other within a step; leave it out");
}

void check_gelu_epilogue(const ModelConfig& model, Device device) {
  require(device.kind == Device::Kind::cuda,
          "--gelu-epilogue is for a GPU, and this run computes on the CPU; leave it out");
  require(model.activation == Activation::gelu_tanh,
          "--gelu-epilogue is for --activation gelu-tanh, and this model has ",
          name_of(model.activation), "; leave it out");
}

}  // namespace lockstep
