#include "launch/device_choice.hpp"

#include "core/error.hpp"
#include "core/ops/cpu_features.hpp"

namespace lockstep {

DeviceChoice device_choice_named(const std::string& name) {
  if (name == "cuda") return DeviceChoice::cuda;
  return name == "cpu" ? DeviceChoice::cpu : DeviceChoice::automatic;
}

Device choose_device(const Environment& environment,
                     DeviceChoice choice,
                     DType precision,
                     bool reproducible) {
  if (precision == DType::bf16) {
    require(choice == DeviceChoice::cpu || (choice == DeviceChoice::automatic && num_gpus() == 0),
            "--precision bf16 is not there yet on GPUs; use --precision fp32, or --device cpu");
    require(bf16_products(), "--precision bf16: this CPU has no AVX512_BF16 or AMX, or ",
            "LOCKSTEP_CPU asks for less; use --precision fp32");
    return {};
  }
  if (choice == DeviceChoice::cpu) return {};
  if (reproducible) {
    require(choice == DeviceChoice::automatic,
            "--reproducible is computed on the CPU alone; use --device cpu");
    return {};
  }
  if (precision == DType::f64) {
    require(choice == DeviceChoice::automatic, "--precision fp64 is computed on the CPU alone; ",
            "use --device cpu, or --precision fp32 with --device cuda");
    return {};
  }
  std::string reason;
  const int gpus = num_gpus(&reason);
  if (gpus == 0) {
    require(choice == DeviceChoice::automatic, "--device cuda: ", reason, "; or use --device cpu");
    return {};
  }
  return {Device::Kind::cuda, environment.local_rank() % gpus};
}

}  // namespace lockstep
