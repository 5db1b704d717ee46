#include "launch/device_choice.hpp"

#include "core/error.hpp"

namespace lockstep {

DeviceChoice device_choice_named(const std::string& name) {
  if (name == "cuda") return DeviceChoice::cuda;
  return name == "cpu" ? DeviceChoice::cpu : DeviceChoice::automatic;
}

Device choose_device(const Environment& environment,
                     DeviceChoice choice,
                     DType dtype,
                     bool reproducible) {
  if (choice == DeviceChoice::cpu) return {};
  if (reproducible) {
    require(choice == DeviceChoice::automatic,
            "--reproducible is computed on the CPU alone; use --device cpu");
    return {};
  }
  if (dtype == DType::f64) {
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
