#include "launch/verify.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>

#include <nlohmann/json.hpp>

#include "core/optim/learning_rate.hpp"
#include "data/loader.hpp"
#include "launch/compare_layouts.hpp"
#include "launch/reproducible.hpp"
#include "launch/run_setup.hpp"
#include "launch/throughput.hpp"

namespace lockstep {
namespace {

double relative(double a, double b) { return std::abs(a - b) / std::max(std::abs(b), 1e-300); }

// One loader for each part asked for: a rank asks for its own, and rank 0 for the whole too.
MakeBatch loader_batches(const RunSetup& setup) {
  auto loaders = std::make_shared<std::map<int, std::unique_ptr<Loader>>>();
  return [loaders, setup](std::int64_t step, const BatchPart& part) {
    std::unique_ptr<Loader>& loader = (*loaders)[part.dp_degree * part.cut.size];
    if (!loader) {
      LoaderConfig data = setup.data;
      data.dp_rank = part.dp_rank;
      data.dp_degree = part.dp_degree;
      data.cp_rank = part.cut.rank;
      data.cp_degree = part.cut.size;
      data.prefetch = 0;
      loader = std::make_unique<Loader>(data);
    }
    return loader->next(step);
  };
}

bool within(const LayoutComparison& comparison, const LayoutTolerance& bounds) {
  for (std::size_t i = 0; i < comparison.steps.size(); ++i) {
    const StepDifference& step = comparison.steps[i];
    const auto number = static_cast<std::int64_t>(i + 1);
    // A difference that is no number is outside too.
    if (!(relative(step.loss, step.one_rank_loss) <= bounds.loss(number))) return false;
    if (!(relative(step.gradient_norm, step.one_rank_gradient_norm) <= bounds.norm(number)))
      return false;
  }
  return std::all_of(comparison.gradients.begin(), comparison.gradients.end(),
                     [&](const ParameterDifference& p) { return p.relative <= bounds.gradient; });
}

void print_text(const LayoutComparison& comparison, const LayoutTolerance& bounds, bool good) {
  std::printf("%6s %18s %18s %10s %10s\n", "step", "loss", "on one rank", "relative", "norm");
  for (std::size_t i = 0; i < comparison.steps.size(); ++i) {
    const StepDifference& step = comparison.steps[i];
    std::printf("%6zu %18.12f %18.12f %10.1e %10.1e\n", i + 1, step.loss, step.one_rank_loss,
                relative(step.loss, step.one_rank_loss),
                relative(step.gradient_norm, step.one_rank_gradient_norm));
  }
  std::printf("\ngradients of step 1, relative difference (2-norm)\n");
  for (const ParameterDifference& parameter : comparison.gradients) {
    std::printf("%10.1e%s %s\n", parameter.relative,
                parameter.relative <= bounds.gradient ? " " : "!", parameter.name.c_str());
  }
  std::printf(
      "\n%s: worst loss %.1e (tolerance %.0e, then %.0e), worst norm %.1e (ten times that), worst "
      "gradient %.1e (tolerance %.0e)\n",
      good ? "the layouts agree" : "the layouts DIFFER", comparison.worst_loss(), bounds.first_step,
      bounds.later_steps, comparison.worst_norm(), comparison.worst_gradient(), bounds.gradient);
}

nlohmann::ordered_json to_json(const LayoutComparison& comparison,
                               const LayoutTolerance& bounds,
                               bool good) {
  nlohmann::ordered_json json;
  json["agree"] = good;
  json["tolerance"] = {{"first_step", bounds.first_step},
                       {"later_steps", bounds.later_steps},
                       {"gradient", bounds.gradient}};
  for (const StepDifference& step : comparison.steps) {
    json["steps"].push_back({{"loss", step.loss},
                             {"one_rank_loss", step.one_rank_loss},
                             {"gradient_norm", step.gradient_norm},
                             {"one_rank_gradient_norm", step.one_rank_gradient_norm}});
  }
  for (const ParameterDifference& parameter : comparison.gradients)
    json["gradients"][parameter.name] = parameter.relative;
  return json;
}

}  // namespace

int run_verify(const Environment& environment, const VerifyOptions& options) {
  const RunOptions& run = options.run;
  set_threads(environment, run.numerics.threads);
  RunSetup setup;
  environment.agree([&] { setup = read_setup(run, environment); });
  const bool reproducible = run.numerics.reproducible;
  choose_transport(environment, run.numerics.transport, setup.device, reproducible);
  setup.attention = choose_attention(environment, run.numerics.attention,
                                     trainer_config(run, setup), run.microbatch_size, reproducible);
  const LearningRate rate{run.learning_rate, run.min_learning_rate, run.warmup_steps,
                          run.decay_steps, run.decay};
  const LayoutComparison comparison =
      compare_with_one_rank(environment, trainer_config(run, setup), loader_batches(setup),
                            options.steps, [&](std::int64_t step) { return rate.at(step); });
  const LayoutTolerance bounds = layout_tolerance(
      run.numerics.precision, fixes_sums(reproducible, setup.device), setup.attention);
  const bool good = within(comparison, bounds);
  if (environment.rank() == 0 && options.json) {
    std::cout << to_json(comparison, bounds, good).dump() << '\n';
  } else if (environment.rank() == 0) {
    print_text(comparison, bounds, good);
  }
  return good ? 0 : static_cast<int>(ExitCode::failed);
}

}  // namespace lockstep
