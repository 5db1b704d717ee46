#include "parallel/checkpoint/saver.hpp"

#include <algorithm>
#include <cassert>
#include <filesystem>
#include <utility>

#include "core/error.hpp"
#include "parallel/checkpoint/gather_text.hpp"

namespace lockstep {
namespace {

template <typename T>
bool busy(const std::future<T>& work) {
  return work.valid() && work.wait_for(std::chrono::seconds(0)) == std::future_status::timeout;
}

std::int64_t sum_over(Group& group, std::int64_t value) {
  Tensor sum = Tensor::from(std::vector<std::int64_t>{value}, {1});
  group.all_reduce(sum, Reduce::sum, "checkpoint");
  return sum.data<std::int64_t>()[0];
}

double max_over(Group& group, double value) {
  Tensor max = Tensor::from(std::vector<double>{value}, {1});
  group.all_reduce(max, Reduce::max, "checkpoint");
  return max.data<double>()[0];
}

void check_optimizer(const Topology& topology, const OptimizerState& optimizer, Span part) {
  const Span own = optimizer.own_span;
  const bool covers = own.first <= part.first && part.first + part.count <= own.first + own.count;
  if (!covers || optimizer.m.count() != own.count || optimizer.v.count() != own.count) {
    fail("the optimizer state of ", topology.tag(), " does not hold elements ", part.first, " to ",
         part.first + part.count, " of its parameters");
  }
}

// Adds the time from here to its end to `total`.
class Stopwatch {
 public:
  explicit Stopwatch(double& total) : total_(total) {}
  ~Stopwatch() {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin_;
    total_ += passed.count();
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& total_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

CheckpointSaver::CheckpointSaver(const Environment& environment,
                                 const Topology& topology,
                                 const ParameterStore& store,
                                 SaverConfig config)
    : environment_(environment),
      topology_(topology),
      store_(store),
      config_(std::move(config)),
      pieces_(checkpoint::owned_pieces(topology, store)),
      span_(span_of(store.count(), topology.replicas().rank(), topology.replicas().size())) {
  snapshot_.first = span_.first;
  if (!config_.background) return;
  // The arena's pages are touched beside the first steps, not in the first save.
  const DType dtype = store.values().dtype();
  for (Tensor* tensor : {&snapshot_.weight, &snapshot_.m, &snapshot_.v})
    *tensor = Tensor::empty({span_.count}, dtype);
  touched_ = std::async(std::launch::async, [arena = snapshot_]() mutable {
    for (Tensor* tensor : {&arena.weight, &arena.m, &arena.v}) tensor->fill_zero();
  });
}

CheckpointSaver::~CheckpointSaver() = default;

bool CheckpointSaver::root() const { return environment_.rank() == 0; }

double CheckpointSaver::elapsed() const {
  return std::chrono::duration<double>(Clock::now() - began_).count();
}

bool CheckpointSaver::working() const { return busy(written_) || busy(committed_); }

// Without a background the snapshot is the live memory (a copy of a GPU's): training waits until it
// is written.
void CheckpointSaver::copy(const OptimizerState& optimizer) {
  const index_t first = span_.first - optimizer.own_span.first;
  const checkpoint::Snapshot live{span_.first, store_.values().range(span_.first, span_.count),
                                  optimizer.m.range(first, span_.count),
                                  optimizer.v.range(first, span_.count)};
  if (!config_.background) {
    snapshot_ = {live.first, live.weight.to(Device{}), live.m.to(Device{}), live.v.to(Device{})};
    return;
  }
  if (touched_.valid()) touched_.get();
  snapshot_.weight.copy_from(live.weight);
  snapshot_.m.copy_from(live.m);
  snapshot_.v.copy_from(live.v);
}

void CheckpointSaver::start(const CheckpointMeta& meta, const OptimizerState& optimizer) {
  assert(!in_flight());
  began_ = Clock::now();
  idle_ = 0;
  result_ = {};
  const Stopwatch blocked(result_.blocked_seconds);
  result_.step = meta.step;
  result_.path = config_.checkpoints + "/" + checkpoint::step_name(meta.step);
  meta_ = meta;
  temporary_ = build_string(config_.checkpoints, "/.tmp-", meta.step, ".", config_.word);
  phase_ = Phase::writing;
  try {
    environment_.agree([&] {
      check_optimizer(topology_, optimizer, span_);
      if (root()) checkpoint::make_directories(config_.checkpoints, temporary_);
    });
  } catch (const Error&) {
    give_up();
    throw;
  }
  copy(optimizer);
  if (config_.background) result_.copy_seconds = elapsed();
  written_ = std::async(config_.background ? std::launch::async : std::launch::deferred, [this] {
    Written written{
        checkpoint::write_rank_file(temporary_, environment_.rank(), pieces_, snapshot_), 0};
    written.ended = elapsed();
    return written;
  });
}

std::optional<SaveResult> CheckpointSaver::advance() {
  assert(in_flight());
  const Stopwatch blocked(result_.blocked_seconds);
  try {
    if (phase_ == Phase::writing) {
      gather();
      return std::nullopt;
    }
    return end();
  } catch (const Error&) {
    give_up();
    throw;
  }
}

void CheckpointSaver::gather() {
  Written written;
  environment_.agree([&] { written = written_.get(); });
  Group& world = environment_.world();
  idle_ += std::max(0.0, elapsed() - max_over(world, written.ended));
  checkpoint::Manifest& part = written.part;
  for (const ParameterStore::Entry& entry : store_.entries()) {
    std::vector<index_t>& shape = part.parameters[entry.row->name];
    for (int dim = 0; dim < entry.row->shape.dims(); ++dim) shape.push_back(entry.row->shape[dim]);
  }
  result_.bytes =
      static_cast<std::uint64_t>(sum_over(world, static_cast<std::int64_t>(part.bytes())));
  std::vector<std::string> parts = checkpoint::gather_text(world, checkpoint::print_manifest(part));
  phase_ = Phase::committing;
  if (!root()) return;
  committed_ = std::async(
      config_.background ? std::launch::async : std::launch::deferred,
      [this, parts = std::move(parts)] {
        checkpoint::commit(parts, meta_, temporary_, result_.path, config_.before_rename);
        Committed committed{"", elapsed()};
        try {
          if (config_.keep > 0)
            prune_checkpoints(config_.checkpoints, config_.keep, config_.keep_every);
        } catch (const Error& error) {
          committed.warning = error.what();
        }
        return committed;
      });
}

SaveResult CheckpointSaver::end() {
  Committed committed;
  environment_.agree([&] {
    if (root()) committed = committed_.get();
  });
  phase_ = Phase::idle;
  result_.warning = committed.warning;
  result_.seconds = std::max(committed.ended - idle_, result_.copy_seconds);
  return result_;
}

SaveResult CheckpointSaver::finish() {
  while (!advance()) {
  }
  return result_;  // with the time of the last advance() too
}

// Every rank has left its writing by now: they have agreed on the failure.
void CheckpointSaver::give_up() {
  phase_ = Phase::idle;
  std::error_code ignored;
  if (root()) std::filesystem::remove_all(temporary_, ignored);
}

SaveResult save_checkpoint(const Environment& environment,
                           const Topology& topology,
                           const std::string& checkpoints,
                           const CheckpointMeta& meta,
                           const ParameterStore& store,
                           const OptimizerState& optimizer) {
  SaverConfig config;
  config.checkpoints = checkpoints;
  config.word = "i0-once";
  CheckpointSaver saver(environment, topology, store, config);
  saver.start(meta, optimizer);
  return saver.finish();
}

}  // namespace lockstep
