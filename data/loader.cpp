#include "data/loader.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "core/error.hpp"
#include "core/model/unpad.hpp"
#include "data/collate.hpp"
#include "data/cut_batch.hpp"
#include "data/examples.hpp"

namespace lockstep {
namespace {

void validate_cut(const LoaderConfig& config) {
  require(config.cp_degree >= 1 && config.cp_rank >= 0 && config.cp_rank < config.cp_degree,
          "cp rank ", config.cp_rank, " of ", config.cp_degree);
  require(config.cp_degree == 1 || config.sequence_length % (2 * config.cp_degree) == 0,
          "--sequence-length ", config.sequence_length, " is not a multiple of 2 x --cp ",
          config.cp_degree);
  require(!config.unpadded ||
              (config.cp_degree == 1 && config.sequence_length % config.row_multiple == 0),
          "sequences of ", config.sequence_length, " without padding, cut in ", config.cp_degree,
          ", in rows of ", config.row_multiple);
}

Batch batch_of(const std::vector<Example>& rows, const LoaderConfig& config, std::int32_t pad_id) {
  const Batch whole = collate(rows, config.sequence_length, pad_id, config.objective);
  if (config.unpadded) return unpad(whole, config.row_multiple);
  return cut_batch(whole, {config.cp_rank, config.cp_degree});
}

void validate(const LoaderConfig& config) {
  validate_cut(config);
  require(config.dp_degree >= 1 && config.dp_rank >= 0 && config.dp_rank < config.dp_degree,
          "dp rank ", config.dp_rank, " of ", config.dp_degree);
  require(config.microbatch_size >= 1, "--microbatch-size ", config.microbatch_size,
          " is not positive");
  require(config.global_batch_size >= 1 &&
              config.global_batch_size % (config.microbatch_size * config.dp_degree) == 0,
          "--global-batch-size ", config.global_batch_size,
          " is not a multiple of --microbatch-size ", config.microbatch_size, " times dp ",
          config.dp_degree);
  require(config.ramp_steps == 0 ||
              (config.ramp_start >= 1 && config.global_batch_size % config.ramp_start == 0 &&
               config.ramp_start % (config.microbatch_size * config.dp_degree) == 0),
          "--batch-ramp starts at ", config.ramp_start, ", which must divide --global-batch-size ",
          config.global_batch_size, " and be a multiple of --microbatch-size ",
          config.microbatch_size, " times dp ", config.dp_degree);
  require(config.prefetch >= 0 && config.prefetch <= 1024, "--prefetch ", config.prefetch,
          " is not from 0 to 1024");
}

}  // namespace

BatchRamp ramp_of(const LoaderConfig& config) {
  const index_t full = config.global_batch_size;
  return {full, config.ramp_steps > 0 ? config.ramp_start : full, config.ramp_steps};
}

struct Loader::Parts {
  explicit Parts(const LoaderConfig& config) : config(config), examples(config) {}
  ~Parts() { stop(); }

  StepBatch make(std::int64_t step) const;
  void start(std::int64_t step);
  void stop();
  void run(std::int64_t step);
  StepBatch take();

  LoaderConfig config;
  TrainingExamples examples;
  double waited = 0;
  std::int64_t expected = 0;  // the step the front of `ready` is, or will be, for; 0: no thread yet

  std::thread thread;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<StepBatch> ready;  // at most config.prefetch
  std::exception_ptr error;     // met after the last of `ready`
  bool stopping = false;
};

StepBatch Loader::Parts::make(std::int64_t step) const {
  const BatchRamp ramp = ramp_of(config);
  const index_t own = ramp.size_at(step) / config.dp_degree;
  auto sample = static_cast<std::uint64_t>(ramp.before(step) + config.dp_rank * own);
  StepBatch batch;
  for (index_t done = 0; done < own; done += config.microbatch_size) {
    std::vector<Example> rows;
    for (index_t b = 0; b < config.microbatch_size; ++b) rows.push_back(examples.at(sample++));
    batch.microbatches.push_back(batch_of(rows, config, examples.pad_id()));
  }
  return batch;
}

void Loader::Parts::start(std::int64_t step) {
  stop();
  ready.clear();
  error = nullptr;
  stopping = false;
  expected = step;
  thread = std::thread([this, step] { run(step); });
}

void Loader::Parts::stop() {
  {
    const std::lock_guard lock(mutex);
    stopping = true;
  }
  changed.notify_all();
  if (thread.joinable()) thread.join();
}

// The prefetch thread: waits for room, never for the steps themselves.
void Loader::Parts::run(std::int64_t step) {
  const auto most = static_cast<std::size_t>(config.prefetch);
  try {
    for (;; ++step) {
      StepBatch batch = make(step);
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return stopping || ready.size() < most; });
      if (stopping) return;
      ready.push_back(std::move(batch));
      changed.notify_all();
    }
  } catch (...) {
    const std::lock_guard lock(mutex);
    error = std::current_exception();
    changed.notify_all();
  }
}

StepBatch Loader::Parts::take() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return !ready.empty() || error != nullptr; });
  if (ready.empty()) std::rethrow_exception(error);
  StepBatch batch = std::move(ready.front());
  ready.pop_front();
  ++expected;
  changed.notify_all();
  return batch;
}

Loader::Loader(const LoaderConfig& config) {
  validate(config);
  parts_ = std::make_unique<Parts>(config);
}

Loader::~Loader() = default;

StepBatch Loader::next(std::int64_t step) {
  assert(step >= 1);
  const auto asked = std::chrono::steady_clock::now();
  StepBatch batch;
  if (parts_->config.prefetch == 0) {
    batch = parts_->make(step);
  } else {
    // The first call, or a step that is not the next one: a rewind.
    if (parts_->expected != step) parts_->start(step);
    batch = parts_->take();
  }
  parts_->waited = std::chrono::duration<double>(std::chrono::steady_clock::now() - asked).count();
  return batch;
}

double Loader::wait_seconds() const { return parts_->waited; }

struct ValidationLoader::Parts {
  LoaderConfig config;
  ValidationExamples examples;
};

ValidationLoader::ValidationLoader(const LoaderConfig& config, index_t sequences) {
  require(sequences >= 0, "--validation-sequences ", sequences, " is negative");
  require(config.microbatch_size >= 1, "--microbatch-size ", config.microbatch_size,
          " is not positive");
  validate_cut(config);
  parts_.reset(new Parts{config, ValidationExamples(config, sequences)});
}

ValidationLoader::~ValidationLoader() = default;

index_t ValidationLoader::num_samples() const { return parts_->examples.count(); }

index_t ValidationLoader::num_microbatches() const {
  const index_t together = parts_->config.microbatch_size * parts_->config.dp_degree;
  return (num_samples() + together - 1) / together;
}

// Global microbatch m holds samples [m n d, (m + 1) n d); this rank's are the dp_rank-th n of them,
// as far as they exist.
Batch ValidationLoader::microbatch(index_t index) const {
  const LoaderConfig& config = parts_->config;
  const index_t size = config.microbatch_size;
  const index_t first = std::min((index * config.dp_degree + config.dp_rank) * size, num_samples());
  const index_t last = std::min(first + size, num_samples());
  std::vector<Example> rows;
  for (index_t sample = first; sample < last; ++sample) rows.push_back(parts_->examples.at(sample));
  return batch_of(rows, config, parts_->examples.pad_id());
}

index_t required_vocab(const std::string& corpus_directory, Objective objective) {
  const CorpusInfo info = read_corpus_info(corpus_directory);
  return info.vocab_size + (objective != Objective::causal && !info.specials.mask ? 1 : 0);
}

}  // namespace lockstep
