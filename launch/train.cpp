// `lockstep pretrain`: open or resume a run, then the loop: data, forward and backward, sums, clip,
// step, report, save.
#include "launch/train.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <set>

#include "core/optim/learning_rate.hpp"
#include "data/corpus.hpp"
#include "data/loader.hpp"
#include "launch/bubble.hpp"
#include "launch/evaluation.hpp"
#include "launch/report.hpp"
#include "launch/run_directory.hpp"
#include "launch/run_setup.hpp"
#include "launch/signals.hpp"
#include "launch/throughput.hpp"
#include "launch/trace.hpp"
#include "launch/trainer.hpp"
#include "parallel/mpi/traffic.hpp"

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
        settings_(fixed_settings(options, setup_.model)),
        rate_{options.learning_rate, options.min_learning_rate, options.warmup_steps,
              options.decay_steps, options.decay} {}

  int run();

 private:
  void open_data();
  void continue_or_initialize(const ResumeChoice& choice);
  bool load(const std::string& step_directory);
  StepResult step(std::int64_t step);
  void validate(std::int64_t step);
  bool checkpoint_due(std::int64_t step) const;
  void save(bool must_succeed);
  void report_traffic();
  void report_pipeline();
  int finish(const std::string& reason, ExitCode code);
  CheckpointMeta meta() const;
  StartEvent start_event() const;
  void report(const StepResult& result, double seconds);

  const Environment& environment_;
  const RunOptions& options_;
  RunSetup setup_;
  RunDirectory directory_;
  Trainer trainer_;
  std::map<std::string, std::string> settings_;
  LearningRate rate_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<ValidationLoader> validation_;
  std::unique_ptr<Report> report_;
  std::unique_ptr<TraceWriter> trace_;
  std::int64_t step_ = 0;    // the last one done
  std::int64_t saved_ = -1;  // the step of the newest checkpoint of this run
  double peak_gflops_ = 0;
  std::vector<TrafficRow> traffic_;  // of this rank in the last step done
  bool stop_ = false;
  Clock::time_point last_save_ = Clock::now();
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

CheckpointMeta Pretrain::meta() const {
  CheckpointMeta meta;
  meta.step = step_;
  meta.consumed_samples = ramp_of(setup_.data).before(step_ + 1);
  meta.seed = options_.seed;
  meta.corpus_fingerprint = setup_.fingerprint;
  meta.options = settings_;
  const Degrees& d = setup_.degrees;
  meta.layout = {{"dp", std::to_string(d.dp)},
                 {"pp", std::to_string(d.pp)},
                 {"cp", std::to_string(d.cp)},
                 {"tp", std::to_string(d.tp)},
                 {"zero", options_.layout.zero ? "1" : "0"},
                 {"corpus", std::filesystem::absolute(options_.corpora.front().first).string()}};
  return meta;
}

// False, with a warning, when the checkpoint is damaged; a mismatch of settings is the user's to
// solve and is thrown.
bool Pretrain::load(const std::string& step_directory) {
  try {
    CheckpointMeta found;
    environment_.agree([&] { found = read_meta(step_directory); });
    environment_.agree([&] {
      require(found.corpus_fingerprint == setup_.fingerprint, "the corpus's fingerprint ",
              setup_.fingerprint, " is not that of ", step_directory, ", ",
              found.corpus_fingerprint,
              ": train on the same corpus and tokenizer, or start a new --output");
      check_resumed(settings_, found.options, step_directory);
    });
    trainer_.load(step_directory, false);
    step_ = found.step;
    return true;
  } catch (const AgreedError& error) {
    if (error.code() == ExitCode::refused) throw;
    if (error.speaker())
      std::cerr << "lockstep: warning: " << error.what() << "; trying an older one\n";
    return false;
  }
}

void Pretrain::continue_or_initialize(const ResumeChoice& choice) {
  for (const std::string& candidate : choice.candidates) {
    if (load(candidate)) {
      saved_ = step_;
      return;
    }
  }
  environment_.agree([&] {
    if (!choice.candidates.empty()) {
      fail("no checkpoint of ", choice.candidates.front(),
           " and older ones is whole; restore one, or start a new --output");
    }
  });
  trainer_.initialize();
}

StartEvent Pretrain::start_event() const {
  StartEvent event;
  event.step = step_;
  event.layout = setup_.degrees;
  event.parameters = trainer_.table().count();
  event.peak_gflops = peak_gflops_;
  event.model = options_.model.model;
  event.precision = name_of(options_.numerics.dtype);
  event.steps = options_.steps;
  return event;
}

void Pretrain::report(const StepResult& result, double seconds) {
  if (!report_) return;
  const BatchRamp ramp = ramp_of(setup_.data);
  const index_t tokens = ramp.size_at(step_) * setup_.sequence_length;
  StepEvent event;
  event.step = step_;
  event.loss = result.loss;
  event.parts = figures(result.terms, false);
  event.gradient_norm = result.gradient_norm;
  event.learning_rate = rate_.at(step_);
  event.tokens = ramp.before(step_ + 1) * setup_.sequence_length;
  event.seconds = seconds;
  event.tokens_per_second = static_cast<double>(tokens) / seconds;
  event.peak_share =
      event.tokens_per_second *
      flops_per_token(setup_.model, trainer_.table().count(), setup_.sequence_length) /
      (peak_gflops_ * 1e9);
  event.data_wait_seconds = loader_->wait_seconds();
  report_->step(event, step_ % options_.log_every == 0 || step_ == options_.steps);
}

StepResult Pretrain::step(std::int64_t step) {
  StepBatch batch;
  std::exception_ptr failure;
  try {
    batch = loader_->next(step);
  } catch (const Error&) {
    failure = std::current_exception();
  }
  const StepAgreement agreement = trainer_.agree(batch, stop_requested(), failure != nullptr);
  if (agreement.failed) {
    environment_.agree([&failure] {
      if (failure) std::rethrow_exception(failure);
    });
  }
  stop_ = agreement.stop;
  if (stop_) return {};
  StepResult result = trainer_.compute_gradients(batch, step, agreement.terms);
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm)) {
    environment_.agree([&] {
      fail(
          "step ", step, ": the loss is ", result.loss, " and the gradient norm ",
          result.gradient_norm,
          "; lower --learning-rate or clip with --clip-norm and continue from the last checkpoint");
    });
  }
  trainer_.apply_gradients(step, rate_.at(step), result);
  return result;
}

void Pretrain::validate(std::int64_t step) {
  const auto begin = Clock::now();
  const Evaluation evaluation = evaluate_all(environment_, trainer_, *validation_);
  if (!report_) return;
  report_->validation({step, total_loss(evaluation.terms), figures(evaluation.terms, true),
                       evaluation.tokens, seconds_since(begin)});
}

bool Pretrain::checkpoint_due(std::int64_t step) const {
  if (step == options_.steps || (options_.exit_at_step && step == *options_.exit_at_step))
    return true;
  return options_.checkpoint_every > 0 && step % options_.checkpoint_every == 0;
}

// A failed save is warned about and training goes on with the older checkpoint, unless the run ends
// with it.
void Pretrain::save(bool must_succeed) {
  const auto begin = Clock::now();
  try {
    const SaveResult result = trainer_.save(directory_.checkpoints(), meta());
    saved_ = step_;
    if (report_) {
      report_->checkpoint({step_, result.bytes, seconds_since(begin), result.seconds, result.path});
      prune_checkpoints(directory_.checkpoints(), options_.keep, options_.keep_every);
    }
  } catch (const AgreedError& error) {
    if (must_succeed) throw;
    if (error.speaker()) {
      std::cerr << "lockstep: warning: step " << step_ << " is not saved: " << error.what()
                << "; training goes on\n";
    }
  }
  last_save_ = Clock::now();
}

// Of the last step done. Scalars and control messages are one kind.
void Pretrain::report_traffic() {
  const std::set<std::string> volumes{"layer",      "embedding", "head", "cross_entropy",
                                      "replicated", "stage",     "tied", "gradient",
                                      "parameter",  "attention"};
  std::vector<TrafficRow> rows;
  for (TrafficRow row : environment_.sum_traffic(traffic_)) {
    if (volumes.count(row.what) == 0) row.what = "other";
    add_traffic(rows, row);
  }
  if (!report_) return;
  for (const TrafficRow& row : rows) {
    report_->traffic(
        {step_, row.axis, row.what, row.operation, static_cast<std::uint64_t>(row.messages),
         static_cast<std::uint64_t>(row.elements), static_cast<std::uint64_t>(row.bytes)});
  }
}

void Pretrain::report_pipeline() {
  if (setup_.degrees.pp == 1) return;
  const Bubble bubble = measure_bubble(trainer_);
  if (!report_) return;
  report_->pipeline(
      {step_, bubble.measured, bubble.simulated, bubble.forward, bubble.backward, bubble.weight});
}

int Pretrain::finish(const std::string& reason, ExitCode code) {
  if (saved_ != step_) save(true);
  report_traffic();
  report_pipeline();
  const std::string hash = options_.hash_weights ? trainer_.weights_hash() : "";
  if (report_) {
    const EndEvent event{step_, reason, hash};
    report_->end(event);
    if (reason == "finished") report_->done(event);
  }
  environment_.world().barrier();
  return static_cast<int>(code);
}

int Pretrain::run() {
  open_data();
  ResumeChoice choice = directory_.choose(environment_, options_.resume);
  continue_or_initialize(choice);
  const int threads = set_threads(environment_, options_.numerics.threads);
  peak_gflops_ = measure_peak_gflops(environment_, setup_.device, options_.numerics.dtype, threads);
  if (environment_.rank() == 0) {
    directory_.write_config(resolved_config(options_, setup_.model));
    report_ = std::make_unique<Report>(options_.output);
    report_->start(start_event());
  }
  if (options_.trace) {
    const std::string name =
        build_string("rank ", environment_.rank(), " ", trainer_.topology().tag());
    trace_ = std::make_unique<TraceWriter>(options_.output, environment_, name);
  }
  const std::int64_t last =
      options_.exit_at_step ? std::min(*options_.exit_at_step, options_.steps) : options_.steps;
  while (step_ < last) {
    const auto begin = Clock::now();
    environment_.reset_traffic();
    const StepResult result = step(step_ + 1);
    if (stop_) return finish("signal", ExitCode::saved);
    ++step_;
    traffic_ = environment_.traffic();
    if (trace_) trace_->step(step_, trainer_.pipeline().timeline(), environment_.take_log());
    report(result, seconds_since(begin));
    if (validation_ && step_ % options_.validate_every == 0) validate(step_);
    bool due = checkpoint_due(step_);
    if (!due && options_.checkpoint_minutes > 0) {
      // Clocks differ between ranks: rank 0's decides.
      Tensor minutes = Tensor::from(std::vector<double>{seconds_since(last_save_) / 60}, {1});
      environment_.world().broadcast(minutes, 0, "control");
      due = minutes.data<double>()[0] >= options_.checkpoint_minutes;
    }
    if (due && saved_ != step_) save(step_ == last);
  }
  return step_ < options_.steps ? finish("exit-at-step", ExitCode::done)
                                : finish("finished", ExitCode::done);
}

}  // namespace

int run_pretrain(const Environment& environment, const RunOptions& options) {
  set_threads(environment, options.numerics.threads);
  RunSetup setup;
  environment.agree([&] { setup = read_setup(options, environment); });
  if (RunDirectory(options.output).finished(environment, options.resume)) return 0;
  if (options.trace) environment.start_log();  // groups made from here on are noted
  return Pretrain(environment, options, std::move(setup)).run();
}

}  // namespace lockstep
