// `lockstep pretrain`: open or resume a run, then the loop: data, forward and backward, sums, clip,
// step, report, save.
#include "launch/train.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "core/optim/learning_rate.hpp"
#include "data/corpus.hpp"
#include "data/loader.hpp"
#include "launch/accounts.hpp"
#include "launch/affinity.hpp"
#include "launch/checkpointing.hpp"
#include "launch/continuation.hpp"
#include "launch/drill.hpp"
#include "launch/evaluation.hpp"
#include "launch/failure.hpp"
#include "launch/gpu_memory.hpp"
#include "launch/nonfinite.hpp"
#include "launch/replica_check.hpp"
#include "launch/report.hpp"
#include "launch/run_directory.hpp"
#include "launch/run_setup.hpp"
#include "launch/signals.hpp"
#include "launch/stragglers.hpp"
#include "launch/throughput.hpp"
#include "launch/time_limit.hpp"
#include "launch/trace.hpp"
#include "launch/trainer.hpp"
#include "launch/watchdog.hpp"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

class Pretrain {
 public:
  Pretrain(const Environment& environment, const RunOptions& options, RunSetup setup)
      : environment_(environment),
        options_(options),
        setup_(std::move(setup)),
        directory_(options.output),
        trainer_(environment, trainer_config(options, setup_)),
        continuation_(environment, options_, setup_, directory_, trainer_),
        rate_{options.learning_rate, options.min_learning_rate, options.warmup_steps,
              options.decay_steps, options.decay},
        time_limit_(options.time_limit),
        on_nonfinite_(options.on_nonfinite),
        stragglers_(environment) {}

  int run();

 private:
  // How a step ended. again: it is to be done again from where place_.step is now.
  enum class Outcome { done, skipped, again, stop };

  void open_data();
  WatchdogConfig watchdog_config() const;
  void continue_or_initialize();
  void start();
  Outcome step(std::int64_t step);
  StepFlags own_flags(bool failed) const;
  void end_when_superseded(const StepFlags& any) const;
  Outcome handle_nonfinite(const StepBatch& batch, std::int64_t step, const StepResult& result);
  void rewind(std::int64_t failed_step);
  void validate(std::int64_t step);
  void save(bool must_succeed);
  MemoryFacts memory_facts() const;
  int finish(const std::string& reason, ExitCode code);
  StartEvent start_event() const;
  void report(const StepResult& result, double seconds);

  const Environment& environment_;
  const RunOptions& options_;
  RunSetup setup_;
  RunDirectory directory_;
  Trainer trainer_;
  Continuation continuation_;
  LearningRate rate_;
  TimeLimit time_limit_;
  NonFinitePolicy on_nonfinite_;
  Stragglers stragglers_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<ValidationLoader> validation_;
  std::unique_ptr<Report> report_;
  std::unique_ptr<TraceWriter> trace_;
  std::unique_ptr<Checkpointing> checkpointing_;
  std::unique_ptr<Drills> drills_;
  std::unique_ptr<ReplicaCheck> replicas_;
  Place place_;
  StepResult result_;  // of the last step
  std::string stop_reason_;
  double peak_gflops_ = 0;
  std::vector<TrafficRow> traffic_;  // of this rank in the last step done
  double rows_share_ = 0;            // of the fullest microbatch so far
};

void Pretrain::open_data() {
  environment_.agree([this] {
    setup_.data.dp_rank = trainer_.topology().dp_rank();
    setup_.data.cp_rank = trainer_.topology().cp_rank();
    loader_ = std::make_unique<Loader>(setup_.data);
    if (setup_.validation && options_.validate_every > 0) {
      LoaderConfig data = *setup_.validation;
      data.dp_rank = setup_.data.dp_rank;
      data.cp_rank = setup_.data.cp_rank;
      validation_ = std::make_unique<ValidationLoader>(data, options_.validation_sequences);
    }
  });
}

void Pretrain::continue_or_initialize() {
  const std::optional<Place> found = continuation_.go_on();
  place_ = found.value_or(Place{});
  if (found) checkpointing_->continued_from(found->step);
}

StartEvent Pretrain::start_event() const {
  StartEvent event;
  event.step = place_.step;
  event.layout = setup_.degrees;
  event.parameters = trainer_.table().count();
  event.peak_gflops = peak_gflops_;
  event.model = options_.model.model;
  event.precision = name_of(options_.numerics.precision);
  event.steps = options_.steps;
  for (int pp_rank = 0; pp_rank < setup_.degrees.pp; ++pp_rank) {
    const MemoryParts stage = predict_memory(trainer_.config(), memory_facts(), pp_rank, 0);
    if (stage.total() > event.memory.total()) event.memory = stage;
  }
  return event;
}

void Pretrain::report(const StepResult& result, double seconds) {
  if (!report_) return;
  const BatchRamp ramp = ramp_of(setup_.data);
  const index_t tokens = ramp.size_at(place_.step + place_.skipped) * setup_.sequence_length;
  StepEvent event;
  event.step = place_.step;
  event.loss = result.loss;
  event.parts = figures(result.terms, false);
  event.gradient_norm = result.gradient_norm;
  event.learning_rate = rate_.at(place_.step);
  event.tokens = ramp.before(place_.step + place_.skipped + 1) * setup_.sequence_length;
  event.seconds = seconds;
  event.tokens_per_second = static_cast<double>(tokens) / seconds;
  event.peak_share =
      event.tokens_per_second *
      flops_per_token(setup_.model, trainer_.table().count(), setup_.sequence_length) /
      (peak_gflops_ * 1e9);
  event.data_wait_seconds = loader_->wait_seconds();
  report_->step(event, place_.step % options_.log_every == 0 || place_.step == options_.steps);
}

StepFlags Pretrain::own_flags(bool failed) const {
  StepFlags flags;
  flags.stop = stop_requested();
  flags.failed = failed;
  flags.saving = checkpointing_->working();
  if (environment_.rank() == 0) {  // the one that looks at the directory and at the clock
    flags.superseded = directory_.incarnation().superseded();
    flags.out_of_time = time_limit_.near();
    flags.save_due = checkpointing_->due_by_clock();
  }
  return flags;
}

void Pretrain::end_when_superseded(const StepFlags& any) const {
  if (!any.superseded) return;
  environment_.agree([this] {
    if (environment_.rank() == 0) directory_.incarnation().check();
  });
}

Pretrain::Outcome Pretrain::step(std::int64_t step) {
  StepBatch batch;
  std::exception_ptr failure;
  environment_.activity().enter("data", step);
  try {
    batch = loader_->next(step + place_.skipped);
  } catch (const Error&) {
    failure = std::current_exception();
  }
  environment_.activity().enter("step", step, traffic_.empty());  // the first one may be slow
  const StepAgreement agreement = trainer_.agree(batch, own_flags(failure != nullptr));
  end_when_superseded(agreement.any);
  if (agreement.any.failed) {
    environment_.agree([&failure] {
      if (failure) std::rethrow_exception(failure);
    });
  }
  if (!agreement.any.saving) checkpointing_->proceed();
  stop_reason_ = agreement.any.stop ? "signal" : agreement.any.out_of_time ? "time-limit" : "";
  if (!stop_reason_.empty()) return Outcome::stop;
  if (agreement.any.save_due && checkpointing_->newest() != place_.step) save(false);

  for (const Batch& microbatch : batch.microbatches) {
    rows_share_ = std::max(rows_share_, static_cast<double>(microbatch.rows()) /
                                            static_cast<double>(microbatch.B * microbatch.T));
  }
  drills_->before_passes(step, trainer_.store());
  const bool verifies = replicas_->due(step);
  if (verifies) {
    replicas_->recompute(step, agreement.terms);
    environment_.reset_traffic();  // the step's own passes count
  }
  stragglers_.begin();
  GradientDigests digests;
  result_ = trainer_.compute_gradients(batch, step, agreement.terms, verifies ? &digests : nullptr);
  if (verifies) replicas_->compare(step, digests);
  if (!std::isfinite(result_.loss) || !std::isfinite(result_.gradient_norm))
    return handle_nonfinite(batch, step, result_);
  on_nonfinite_.finite(step);
  trainer_.apply_gradients(step, rate_.at(step), result_);
  stragglers_.end();
  return Outcome::done;
}

// Nothing of the step reaches the weights.
Pretrain::Outcome Pretrain::handle_nonfinite(const StepBatch& batch,
                                             std::int64_t step,
                                             const StepResult& result) {
  const std::string place = locate_nonfinite(environment_, trainer_, batch, step, result.terms);
  drills_->after_step(trainer_.store());
  checkpointing_->settle(false);
  const std::string what =
      build_string("step ", step, ": the loss is ", result.loss, " and the gradient norm ",
                   result.gradient_norm, "; not finite first on ", place);
  OnNonFinite action = OnNonFinite::stop;
  environment_.agree([&] { action = on_nonfinite_.decide(step, what); });
  const bool skips = action == OnNonFinite::skip;
  if (skips) {
    place_.step = step;
  } else {
    rewind(step);
  }
  if (report_) {
    const std::string next =
        skips ? "its gradients are dropped"
              : build_string("going back to step ", place_.step, ", past the data since");
    print_warning(build_string(what, "; ", next, " (", on_nonfinite_.count_text(), ")"));
    report_->nonfinite({step, place, skips ? "skip" : "rewind", place_.step});
  }
  return skips ? Outcome::skipped : Outcome::again;
}

// To the newest checkpoint; the data from there to the failed step are not used again.
void Pretrain::rewind(std::int64_t failed_step) {
  const std::int64_t consumed = failed_step + place_.skipped;
  continue_or_initialize();
  place_.skipped = consumed - place_.step;
}

void Pretrain::validate(std::int64_t step) {
  const auto begin = Clock::now();
  environment_.activity().enter("validation", step);
  const Evaluation evaluation = evaluate_all(environment_, trainer_, *validation_);
  if (!report_) return;
  report_->validation({step, total_loss(evaluation.terms), figures(evaluation.terms, true),
                       evaluation.tokens, seconds_since(begin)});
}

void Pretrain::save(bool must_succeed) {
  replicas_->compare_weights(place_.step);
  checkpointing_->save(continuation_.meta(place_), must_succeed);
}

MemoryFacts Pretrain::memory_facts() const {
  const bool causal = setup_.model.objective == Objective::causal;
  return {options_.microbatch_size, rows_share_ > 0 ? rows_share_ : 1.0,
          causal ? 1.0 : options_.mask_probability,
          checkpointing_->snapshots() && setup_.device.kind == Device::Kind::cpu};
}

int Pretrain::finish(const std::string& reason, ExitCode code) {
  environment_.activity().enter("end", place_.step, true);
  checkpointing_->settle(checkpointing_->newest() == place_.step);
  if (checkpointing_->newest() != place_.step) save(true);
  report_accounts(environment_, trainer_, {place_.step, traffic_, memory_facts()}, report_.get());
  const std::string hash = options_.hash_weights ? trainer_.weights_hash() : "";
  environment_.agree([&] {
    if (!report_) return;
    directory_.incarnation().check();
    const EndEvent event{place_.step, reason, hash};
    directory_.tidy();
    report_->end(event);
    if (reason == "finished") report_->done(event);
  });
  environment_.world().barrier();
  return static_cast<int>(code);
}

WatchdogConfig Pretrain::watchdog_config() const {
  WatchdogConfig config;
  config.seconds = options_.watchdog_seconds;
  config.place = options_.output + "/.watchdog." + directory_.word();
  config.rank = environment_.rank();
  config.ranks = environment_.size();
  config.prefix = rank_prefix(environment_, options_.layout);
  return config;
}

void Pretrain::start() {
  checkpointing_ =
      std::make_unique<Checkpointing>(environment_, trainer_, options_, directory_, time_limit_);
  drills_ = std::make_unique<Drills>(environment_, options_.drills, options_.output);
  replicas_ =
      std::make_unique<ReplicaCheck>(environment_, trainer_, setup_.data, options_.verify_every);
  continue_or_initialize();
  const int threads = set_threads(environment_, options_.numerics.threads);
  peak_gflops_ =
      measure_peak_gflops(environment_, setup_.device, options_.numerics.precision, threads);
  environment_.agree([this] {
    if (environment_.rank() != 0) return;
    directory_.write_config(resolved_config(options_, setup_.model));
    report_ = std::make_unique<Report>(options_.output);
    report_->start(start_event());
  });
  checkpointing_->set_report(report_.get());
  if (options_.trace) {
    start_op_log();
    const std::string name =
        build_string("rank ", environment_.rank(), " ", trainer_.topology().tag());
    const index_t tokens = options_.microbatch_size * setup_.sequence_length / setup_.degrees.cp;
    trace_ = std::make_unique<TraceWriter>(
        options_.output, environment_, name, [this, tokens](const Action& action) {
          return action_flops(trainer_.config(), trainer_.stages(), action, tokens);
        });
  }
}

int Pretrain::run() {
  open_data();
  directory_.take_over(environment_);
  if (directory_.finished(environment_, "auto")) return 0;
  environment_.activity().enter("start-up", 0, true);
  const Watchdog watchdog(environment_.activity(), watchdog_config());
  start();
  const std::int64_t last =
      options_.exit_at_step ? std::min(*options_.exit_at_step, options_.steps) : options_.steps;
  while (place_.step < last) {
    const auto begin = Clock::now();
    environment_.reset_traffic();
    const Outcome outcome = step(place_.step + 1);
    if (outcome == Outcome::stop) return finish(stop_reason_, ExitCode::saved);
    if (outcome == Outcome::again) continue;
    if (outcome == Outcome::done) {
      ++place_.step;
      traffic_ = environment_.traffic();
      if (trace_)
        trace_->step(place_.step, trainer_.pipeline().timeline(), environment_.take_log(),
                     take_op_log());
      report(result_, seconds_since(begin));
      const auto stragglers = stragglers_.look(place_.step);
      if (stragglers && report_) report_->straggler(*stragglers);
    }
    if (validation_ && place_.step % options_.validate_every == 0) validate(place_.step);
    if (checkpointing_->due(place_.step)) {
      environment_.activity().enter("save", place_.step, true);
      save(place_.step == last);
    }
    time_limit_.step_took(seconds_since(begin));
  }
  return place_.step < options_.steps ? finish("exit-at-step", ExitCode::done)
                                      : finish("finished", ExitCode::done);
}

}  // namespace

int run_pretrain(const Environment& environment, const RunOptions& options) {
  set_threads(environment, options.numerics.threads);
  RunSetup setup;
  environment.agree([&] { setup = read_setup(options, environment); });
  if (RunDirectory(options.output).finished(environment, options.resume)) return 0;
  if (options.trace) environment.start_log();  // groups made from here on are noted
  stay_near(environment, setup.device, options.numerics.threads);
  choose_transport(environment, options.numerics.transport, setup.device,
                   options.numerics.reproducible);
  setup.attention =
      choose_attention(environment, options.numerics.attention, trainer_config(options, setup),
                       options.microbatch_size, options.numerics.reproducible);
  const bool causal = setup.model.objective == Objective::causal;
  require_gpu_memory(
      environment, trainer_config(options, setup),
      {options.microbatch_size, 1.0, causal ? 1.0 : options.mask_probability, false});
  return Pretrain(environment, options, std::move(setup)).run();
}

}  // namespace lockstep
