// What one table of options cannot say: values that exclude each other, or do not fit the ranks.
#include "launch/option_checks.hpp"

#include <cstdlib>

#include "core/error.hpp"
#include "core/model/plan.hpp"
#include "launch/options.hpp"
#include "parallel/pipeline/schedule_file.hpp"
#include "parallel/pipeline/schedules.hpp"

namespace lockstep {
namespace {

// The schedule exists for these sizes, and every virtual stage gets a layer.
void check_schedule(const LayoutOptions& layout,
                    const Degrees& degrees,
                    const ModelConfig& model,
                    index_t sequence_length,
                    index_t microbatches) {
  const Schedule schedule = schedule_of(layout, degrees.pp, static_cast<int>(microbatches));
  cut_stages(plan_layers(model, sequence_length), schedule.all_stages());
}

// Every size of the ramp is a whole number of microbatches, and the schedule takes it: all are
// multiples of the first.
void check_ramp(const RunOptions& options, const Degrees& degrees) {
  if (options.ramp_steps == 0) return;
  require(!options.numerics.reproducible,
          "--batch-ramp does not go with --reproducible, whose data ",
          "shards follow from one batch size; leave one out");
  require(!options.layout.schedule_file, "--batch-ramp does not go with --schedule-file, which is ",
          "of one number of microbatches: leave one out");
  const index_t per_microbatch = options.microbatch_size * degrees.dp;
  require(options.ramp_start % per_microbatch == 0, options.values.typed("batch-ramp"),
          " starts at ", options.ramp_start, ", which must be a multiple of --microbatch-size ",
          options.microbatch_size, " x dp ", degrees.dp);
  schedule_of(options.layout, degrees.pp, static_cast<int>(options.ramp_start / per_microbatch));
}

// Each rank holds as many rows of a microbatch as the others, whatever its size.
void check_sequence_cut(const LayoutOptions& layout, index_t sequence_length) {
  require(layout.cp == 1 || sequence_length % (2 * layout.cp) == 0, "--sequence-length ",
          sequence_length, " must be a multiple of 2 x --cp ", layout.cp, ": change one");
  require(!layout.sequence_parallel || sequence_length / layout.cp % layout.tp == 0,
          "--sequence-length ", sequence_length, layout.cp > 1 ? " / --cp " : "",
          layout.cp > 1 ? std::to_string(layout.cp) : "", " must be a multiple of --tp ", layout.tp,
          " with --sequence-parallel: change one, or leave out --sequence-parallel");
}

void check_zero(const OptionValues& values, const LayoutOptions& layout, const Degrees& degrees) {
  if (layout.zero)
    require_effect(values, "zero", degrees.dp * degrees.cp > 1,
                   "with dp 1; leave it out or use more ranks");
}

}  // namespace

void require_effect(const OptionValues& values,
                    const char* name,
                    bool effect,
                    const std::string& cure) {
  if (!values.given(name)) return;
  require(effect, values.typed(name), " ", values.text(name), " has no effect ", cure);
}

void check_batch(const OptionValues& values, index_t global, index_t micro, int dp) {
  require(global % (micro * dp) == 0, values.typed("global-batch-size"), " ", global,
          " must be a multiple of ", values.typed("microbatch-size"), " ", micro,
          dp > 1 ? build_string(" x dp ", dp) : "");
}

Schedule schedule_of(const LayoutOptions& layout, int pp, int microbatches) {
  if (!layout.schedule_file)
    return make_schedule(layout.schedule, pp, microbatches, layout.virtual_stages);
  const Schedule schedule = read_schedule(*layout.schedule_file);
  require(schedule.stages == pp, "--schedule-file ", *layout.schedule_file, " is of ",
          schedule.stages, " ranks, --pp is ", pp, ": change one");
  require(schedule.microbatches == microbatches, "--schedule-file ", *layout.schedule_file,
          " is of ", schedule.microbatches, " microbatches, the batch sizes make ", microbatches,
          ": change --global-batch-size or --microbatch-size");
  return schedule;
}

void check_effects(const RunOptions& options, const RunFacts& facts) {
  const OptionValues& values = options.values;
  check_batch(values, options.global_batch_size, options.microbatch_size, facts.degrees.dp);
  check_zero(values, options.layout, facts.degrees);
  check_sequence_cut(options.layout, facts.sequence_length);
  check_schedule(options.layout, facts.degrees, facts.model, facts.sequence_length,
                 options.global_batch_size / facts.degrees.dp / options.microbatch_size);
  check_ramp(options, facts.degrees);
  require(options.verify_every == 0 || facts.degrees.dp > 1, values.typed("verify-every"), " ",
          options.verify_every,
          " compares data-parallel ranks, and dp is 1; use more ranks, or leave it out");
  require_effect(values, "mask-probability", facts.model.objective != Objective::causal,
                 "with a causal model: nothing is masked");
  if (options.validate_every > 0) {
    require_effect(values, "validate-every", facts.has_validation,
                   "without a validation split; build the corpus with --validation-fraction or "
                   "name --validation-corpus");
  }
}

void check_effects(const BenchOptions& options, const RunFacts& facts) {
  const Degrees& degrees = facts.degrees;
  check_batch(options.values, options.global_batch_size, options.microbatch_size, degrees.dp);
  check_zero(options.values, options.layout, degrees);
  check_sequence_cut(options.layout, facts.sequence_length);
  check_schedule(options.layout, degrees, facts.model, facts.sequence_length,
                 options.global_batch_size / degrees.dp / options.microbatch_size);
}

void check_ranks(const std::vector<std::string>& arguments, int ranks) {
  if (const char* wanted = std::getenv("LOCKSTEP_RANKS"); wanted && *wanted) {
    if (parse_integer(wanted) != ranks) {
      throw Error(
          build_string("LOCKSTEP_RANKS is ", wanted, ", but this run has ", ranks,
                       ranks == 1 ? " rank" : " ranks", "; start as many as it says, or unset it"),
          ExitCode::wrong_ranks);
    }
  }
  int degrees[4] = {0, 1, 1, 1};  // dp, pp, cp, tp; the last of each wins
  const char* names[4][2] = {{"dp", "data-parallel"},
                             {"pp", "pipeline-parallel"},
                             {"cp", "context-parallel"},
                             {"tp", "tensor-parallel"}};
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    for (int axis = 0; axis < 4; ++axis) {
      for (const char* name : names[axis]) {
        const std::string dashed = build_string("--", name), joined = dashed + "=";
        std::string text;
        if (arguments[i] == dashed && i + 1 < arguments.size()) text = arguments[i + 1];
        if (arguments[i].rfind(joined, 0) == 0) text = arguments[i].substr(joined.size());
        const auto number = parse_integer(text);
        if (number && *number >= 1 && *number <= 1000000) degrees[axis] = static_cast<int>(*number);
      }
    }
  }
  resolve_degrees(ranks, degrees[0], degrees[1], degrees[2], degrees[3]);
}

}  // namespace lockstep
