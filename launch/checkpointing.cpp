#include "launch/checkpointing.hpp"

#include <iostream>

#include "launch/failure.hpp"

namespace lockstep {
namespace {

SaverConfig saver_config(const RunOptions& options, const RunDirectory& directory) {
  SaverConfig config;
  config.checkpoints = directory.checkpoints();
  // A run that saves only at its end would wait for the copy and then for the save.
  config.background =
      options.save_async && (options.checkpoint_every > 0 || options.checkpoint_minutes > 0);
  config.word = directory.word();
  config.before_rename = [&directory] { directory.incarnation().check(); };
  config.keep = options.keep;
  config.keep_every = options.keep_every;
  return config;
}

}  // namespace

Checkpointing::Checkpointing(const Environment& environment,
                             Trainer& trainer,
                             const RunOptions& options,
                             const RunDirectory& directory,
                             TimeLimit& time_limit)
    : trainer_(trainer),
      options_(options),
      time_limit_(time_limit),
      saver_(environment, trainer.topology(), trainer.store(), saver_config(options, directory)) {}

bool Checkpointing::due(std::int64_t step) const {
  if (step == options_.steps || (options_.exit_at_step && step == *options_.exit_at_step))
    return true;
  return options_.checkpoint_every > 0 && step % options_.checkpoint_every == 0;
}

bool Checkpointing::due_by_clock() const {
  if (options_.checkpoint_minutes <= 0) return false;
  const std::chrono::duration<double> passed = Clock::now() - last_;
  return passed.count() >= 60 * options_.checkpoint_minutes;
}

void Checkpointing::done(const SaveResult& result) {
  time_limit_.save_took(result.seconds);
  if (report_ == nullptr) return;
  report_->checkpoint(
      {result.step, result.bytes, result.blocked_seconds, result.seconds, result.path});
  if (!result.warning.empty()) print_warning("older checkpoints stay: " + result.warning);
}

void Checkpointing::failed(const AgreedError& error) const {
  if (!error.speaker()) return;
  print_warning(
      build_string("step ", in_flight_, " is not saved: ", error.what(), "; training goes on"));
}

// Steps may be faster than the disk all the time: once a minute will do.
void Checkpointing::say_waiting(std::int64_t step) {
  const auto now = Clock::now();
  if (report_ == nullptr || (said_ && now - *said_ < std::chrono::minutes(1))) return;
  said_ = now;
  std::cout << "the save of step " << in_flight_ << " is still running when that of step " << step
            << " is due: training waits for it" << std::endl;
}

void Checkpointing::proceed() {
  if (!saver_.in_flight()) return;
  try {
    if (const auto result = saver_.advance()) done(*result);
  } catch (const AgreedError& error) {
    newest_ = before_;
    failed(error);
  }
}

void Checkpointing::settle(bool must_succeed) {
  if (!saver_.in_flight()) return;
  try {
    SaveResult result = saver_.finish();
    // At the end of a run nothing is left that would wait but for the copy.
    if (must_succeed && saver_.background()) result.blocked_seconds = result.copy_seconds;
    done(result);
  } catch (const AgreedError& error) {
    newest_ = before_;
    if (must_succeed) throw;
    failed(error);
  }
}

void Checkpointing::save(const CheckpointMeta& meta, bool must_succeed) {
  if (saver_.in_flight()) {
    say_waiting(meta.step);
    settle(false);
  }
  last_ = Clock::now();
  before_ = newest_;
  in_flight_ = newest_ = meta.step;
  try {
    saver_.start(meta, trainer_.optimizer_state());
  } catch (const AgreedError& error) {
    newest_ = before_;
    if (must_succeed) throw;
    failed(error);
    return;
  }
  if (must_succeed || !saver_.background()) settle(must_succeed);
}

}  // namespace lockstep
