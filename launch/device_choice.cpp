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

void check_gpu_options(const GpuOptions& options,
                       const ModelConfig& model,
                       DType precision,
                       int num_ranks,
                       Device device) {
  const char* first = options.cuda_graph      ? "--cuda-graph"
                      : options.gelu_epilogue ? "--gelu-epilogue"
                      : options.tf32          ? "--tf32"
                                              : nullptr;
  require(first == nullptr || device.kind == Device::Kind::cuda, first,
          " is for a GPU, and this run computes on the CPU; leave it out");
  require(!options.cuda_graph || num_ranks == 1,
          "--cuda-graph is for a run of one rank, and this one has ", num_ranks,
          ", which wait for each other within a step; leave it out");
  require(!options.gelu_epilogue || model.activation == Activation::gelu_tanh,
          "--gelu-epilogue is for --activation gelu-tanh, and this model has ",
          name_of(model.activation), "; leave it out");
  require(!options.tf32 || precision == DType::f32,
          "--tf32 is for --precision fp32, and this run has ", name_of(precision),
          "; leave it out");
}

}  // namespace lockstep
