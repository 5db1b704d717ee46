#include "launch/saved_model.hpp"

#include "parallel/pipeline/schedules.hpp"

namespace lockstep {
namespace {

const std::string& setting(const SavedModel& saved, const std::string& name) {
  const auto found = saved.meta.options.find(name);
  require(found != saved.meta.options.end(), saved.step_directory, ": manifest.json has no option ",
          name);
  return found->second;
}

}  // namespace

SavedModel open_saved_model(const std::string& path,
                            std::optional<std::int64_t> step,
                            const LayoutOptions& layout,
                            std::optional<DType> precision,
                            bool reproducible) {
  SavedModel saved;
  saved.step_directory = resolve_checkpoint(path, step);
  saved.meta = read_meta(saved.step_directory);
  std::vector<std::string> arguments;
  for (const char* name : {"model", "layers", "heads", "width", "ffn-width", "max-positions",
                           "vocab-size", "positions", "norm", "activation", "bias", "dropout",
                           "attention-dropout", "objective", "sequence-length"}) {
    arguments.push_back(std::string("--") + name);
    arguments.push_back(setting(saved, name));
  }
  // The bench command takes exactly the options that make a model.
  const BenchOptions options = read_bench_options(arguments);
  saved.model = make_model(options.model, layout, 0, reproducible);
  saved.sequence_length = resolve_sequence_length(options.model, saved.model);
  saved.precision = precision.value_or(precision_named(setting(saved, "precision")));
  if (saved.model.objective != Objective::causal) {
    const std::optional<double> probability = parse_real(setting(saved, "mask-probability"));
    require(probability.has_value(), saved.step_directory, ": mask-probability is not a number");
    saved.mask_probability = *probability;
  }
  return saved;
}

TrainerConfig inference_config(const SavedModel& saved, Degrees degrees, Device device) {
  TrainerConfig config;
  config.model = saved.model;
  config.degrees = degrees;
  config.precision = saved.precision;
  config.device = device;
  config.schedule = make_schedule("1f1b", degrees.pp, 1);
  config.sequence_length = saved.sequence_length;
  config.seed = saved.meta.seed;
  return config;
}

}  // namespace lockstep
