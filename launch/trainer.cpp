#include "launch/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/checksum.hpp"
#include "core/nn/losses.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/gemm.hpp"
#include "core/optim/clip.hpp"
#include "parallel/pipeline/schedules.hpp"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::vector<OptimizerView> optimizer_views(const ParameterStore& store) {
  std::vector<OptimizerView> views;
  for (const ParameterStore::Entry& entry : store.entries()) {
    views.push_back({entry.offset, entry.parameter.value.count(), entry.row->decay});
  }
  return views;
}

std::vector<Stage> make_stages(const TrainerConfig& config,
                               const std::vector<StageRange>& ranges,
                               ParameterStore& store,
                               const Topology& topology) {
  const StageSetup setup{.tp = topology.tp(),
                         .cp = topology.cp(),
                         .recompute = config.recompute,
                         .sequence_parallel = config.sequence_parallel,
                         .attention = config.attention,
                         .gelu_in_products = config.gpu.gelu_epilogue};
  std::vector<Stage> stages;
  for (const StageRange range : ranges) stages.emplace_back(config.model, range, store, setup);
  return stages;
}

}  // namespace

double total_loss(const std::vector<LossTerm>& terms) {
  double loss = 0;
  for (const LossTerm& term : terms) {
    if (term.count > 0) loss += term.weight * term.sum.value() / static_cast<double>(term.count);
  }
  return loss;
}

bool keeps_packed_weights(const TrainerConfig& config) {
  return config.precision == DType::bf16 && config.device.kind == Device::Kind::cpu &&
         config.schedule.microbatches > 1 && !config.sums.fixed;
}

Trainer::Trainer(const Environment& environment, const TrainerConfig& config)
    : environment_(environment),
      config_(config),
      topology_(environment, config.degrees),
      table_(config.model, config.sequence_parallel),
      stages_(stage_map(config.schedule, plan_layers(config.model, config.sequence_length))),
      store_(table_,
             stages_.of_rank(topology_.pp_rank()),
             topology_.tp_rank(),
             config.degrees.tp,
             config.precision,
             config.device,
             config.sums.fixed),
      held_(make_stages(config, stages_.of_rank(topology_.pp_rank()), store_, topology_)),
      gradients_(store_, topology_, stages_, config.zero, config.sums.fixed),
      optimizer_(gradients_.own_span(),
                 optimizer_views(store_),
                 value_type(config.precision),
                 config.device,
                 config.optimizer),
      runner_(&runner_for(static_cast<std::size_t>(config.schedule.microbatches))),
      graphs_(config.gpu.cuda_graph ? std::make_unique<StepGraphs>(config.device)
                                    : std::make_unique<StepGraphs>()) {
  assert(!config.gpu.cuda_graph || environment.size() == 1);
  time_products(config.device, config.timed_products);
  multiply_in_tf32(config.device, config.gpu.tf32);
  if (keeps_packed_weights(config)) store_.keep_packed();
  if (!config.sums.fixed) return;
  for (const StageRange range : stages_.of_rank(topology_.pp_rank())) {
    shard_trees_.emplace_back(store_.gradients_of(range), config.gradient_leaves,
                              config.schedule.microbatches);
  }
}

PipelineRunner& Trainer::runner_for(std::size_t microbatches) {
  const auto found = runners_.find(microbatches);
  if (found != runners_.end()) return found->second;
  Schedule schedule = config_.schedule;
  if (microbatches != static_cast<std::size_t>(schedule.microbatches)) {
    schedule = make_schedule(schedule.name, schedule.stages, static_cast<int>(microbatches),
                             schedule.virtual_stages);
  }
  return runners_.try_emplace(microbatches, held_, topology_, std::move(schedule)).first->second;
}

void Trainer::initialize() {
  store_.initialize(config_.seed);
  OptimizerState state = optimizer_state();
  state.m.fill_zero();
  state.v.fill_zero();
}

Context Trainer::context(std::int64_t step, std::vector<LossTerm>& terms, bool training) const {
  Context context;
  context.step = step;
  context.seed = config_.seed;
  context.training = training;
  context.terms = &terms;
  context.sums = config_.sums;
  context.sums.cp = &topology_.cp();
  return context;
}

StepBatch Trainer::on_device(const StepBatch& batch) const {
  StepBatch there;
  for (const Batch& microbatch : batch.microbatches) {
    there.microbatches.push_back(microbatch.to(config_.device));
  }
  return there;
}

StepAgreement Trainer::agree(const StepBatch& batch, const StepFlags& own) const {
  StepAgreement agreement;
  agreement.terms = loss_terms(config_.model);
  // The stages and tp ranks hold the same batch: one of them counts; cp ranks hold parts of it.
  if (topology_.pp_rank() == 0 && topology_.tp_rank() == 0) {
    for (const Batch& microbatch : batch.microbatches) add_counts(agreement.terms, microbatch);
  }
  std::vector<std::int64_t> numbers;
  for (const bool flag :
       {own.stop, own.failed, own.saving, own.superseded, own.out_of_time, own.save_due})
    numbers.push_back(flag ? 1 : 0);
  const std::size_t num_flags = numbers.size();
  for (const LossTerm& term : agreement.terms) numbers.push_back(term.count);
  Tensor summed = Tensor::from(numbers, {static_cast<index_t>(numbers.size())});
  topology_.world().all_reduce(summed, Reduce::sum, "control");
  const std::int64_t* sums = summed.data<std::int64_t>();
  agreement.any = {sums[0] > 0, sums[1] > 0, sums[2] > 0, sums[3] > 0, sums[4] > 0, sums[5] > 0};
  for (std::size_t i = 0; i < agreement.terms.size(); ++i)
    agreement.terms[i].count = sums[num_flags + i];
  return agreement;
}

StepResult Trainer::compute_gradients(const StepBatch& batch,
                                      std::int64_t step,
                                      std::vector<LossTerm> terms,
                                      GradientDigests* first) {
  StepResult result;
  Tensor gradients = store_.gradients_by_use();
  fill(gradients, 0);  // on all threads
  if (first != nullptr) first->assign(held_.size(), 0);
  PipelineRunner::WeightsDone join;
  if (!shard_trees_.empty() || first != nullptr) {
    join = [this, first](std::size_t stage, int m) {
      if (first != nullptr && m == 0) (*first)[stage] = gradient_digest(stage);
      if (!shard_trees_.empty()) shard_trees_[stage].microbatch_done(m);
    };
  }
  start_losses(terms, config_.device);  // here, so that the first microbatch's ops are the others'
  runner_ = &runner_for(batch.microbatches.size());
  Context training = context(step, terms, true);
  training.backward = gradients_.begin();
  const PassSeconds passes = runner_->run(on_device(batch), training, join, &graphs_->actions);
  result.forward_seconds = passes.forward;
  result.backward_seconds = passes.backward;

  const auto begin = Clock::now();
  Tensor squares;
  graphs_->sums.run([&] {
    gradients_.finish();
    squares = gradients_.sum_of_squares();
  });
  sum_over_world(terms);
  const auto count = static_cast<double>(std::max<std::int64_t>(terms[0].count, 1));
  result.gradient_norm = gradients_.norm(squares) / count;
  result.communication_seconds = seconds_since(begin);
  result.loss = total_loss(terms);
  result.terms = std::move(terms);
  return result;
}

std::int64_t Trainer::gradient_digest(std::size_t stage) const {
  std::uint32_t crc = 0;
  for (const Tensor& part : store_.gradients_of(stages_.of_rank(topology_.pp_rank())[stage])) {
    const Tensor here = part.to(Device{});
    crc = crc32c(here.raw(), static_cast<std::size_t>(here.count()) * size_of(here.dtype()), crc);
  }
  return crc;
}

// The others are there without samples: they do not travel, and the schedule stays that of the
// step.
GradientDigests Trainer::digest_first(const StepBatch& batch,
                                      std::int64_t step,
                                      std::vector<LossTerm> terms) {
  StepBatch alone;
  alone.microbatches.resize(batch.microbatches.size());
  alone.microbatches[0] = batch.microbatches[0];
  GradientDigests digests(held_.size(), 0);
  Tensor gradients = store_.gradients_by_use();
  fill(gradients, 0);
  runner_for(alone.microbatches.size())
      .run(on_device(alone), context(step, terms, true),
           [&](std::size_t stage, int) { digests[stage] = gradient_digest(stage); });
  return digests;
}

void Trainer::repeat_passes(const StepBatch& batch,
                            std::int64_t step,
                            std::vector<LossTerm> terms,
                            const Probe& probe) {
  store_.gradients_by_use().fill_zero();
  Context seen = context(step, terms, true);
  seen.probe = &probe;
  runner_->run(on_device(batch), seen);
}

std::pair<std::int64_t, std::int64_t> Trainer::graph_counts() const {
  const ActionGraphs& actions = graphs_->actions;
  return {actions.forward.num_made() + actions.backward.num_made(),
          actions.forward.num_launched() + actions.backward.num_launched()};
}

void Trainer::apply_gradients(std::int64_t step, double rate, StepResult& result) {
  const auto count = static_cast<double>(std::max<std::int64_t>(result.terms[0].count, 1));
  const double scale = clip_factor(result.gradient_norm, config_.clip_norm) / count;
  graphs_->update.run([&] {
    auto begin = Clock::now();
    Tensor values = store_.values();
    optimizer_.step(values, store_.gradients(), step, rate, scale);
    result.optimizer_seconds = seconds_since(begin);
    begin = Clock::now();
    gradients_.gather_values();
    result.communication_seconds += seconds_since(begin);
    begin = Clock::now();
    store_.round_values();
    result.optimizer_seconds += seconds_since(begin);
  });
}

std::vector<LossTerm> Trainer::evaluate(const std::vector<Batch>& batches) {
  std::vector<LossTerm> terms = loss_terms(config_.model);
  runner_->evaluate(on_device({batches}).microbatches, context(0, terms, false));
  std::vector<LossTerm> counted = loss_terms(config_.model);
  for (const Batch& batch : batches) add_counts(counted, batch);
  std::vector<std::int64_t> numbers;
  // The ranks of one replica hold the same batches: one of them counts.
  const bool counts_here = topology_.pp_rank() == 0 && topology_.tp_rank() == 0;
  for (const LossTerm& term : counted) numbers.push_back(counts_here ? term.count : 0);
  Tensor counts = Tensor::from(numbers, {static_cast<index_t>(numbers.size())});
  topology_.world().all_reduce(counts, Reduce::sum, "loss");
  for (std::size_t i = 0; i < terms.size(); ++i) terms[i].count = counts.data<std::int64_t>()[i];
  sum_over_world(terms);
  return terms;
}

// Sums and right predictions, once they are read. The head's tp ranks all hold the same; other
// stages hold zeros.
void Trainer::sum_over_world(std::vector<LossTerm>& terms) const {
  constexpr index_t width = ExactSum::Limbs{}.size() + 1;
  read_losses(terms);
  Tensor summed = Tensor::zeros({static_cast<index_t>(terms.size()), width}, DType::i64);
  std::int64_t* row = summed.data<std::int64_t>();
  for (std::size_t i = 0; topology_.tp_rank() == 0 && i < terms.size(); ++i, row += width) {
    std::copy(terms[i].sum.limbs().begin(), terms[i].sum.limbs().end(), row);
    row[width - 1] = terms[i].correct;
  }
  topology_.world().all_reduce(summed, Reduce::sum, "loss");
  row = summed.data<std::int64_t>();
  for (std::size_t i = 0; i < terms.size(); ++i, row += width) {
    ExactSum::Limbs limbs;
    std::copy_n(row, limbs.size(), limbs.begin());
    terms[i].sum = ExactSum(limbs);
    terms[i].correct = row[width - 1];
  }
}

std::size_t Trainer::gradient_bytes() const {
  std::size_t bytes = store_.gradients_by_use().bytes();
  for (const ShardTree& tree : shard_trees_) bytes += tree.bytes_aside();
  return bytes;
}

OptimizerState Trainer::optimizer_state() const {
  return {gradients_.own_span(), optimizer_.m(), optimizer_.v()};
}

void Trainer::load(const std::string& step_directory, bool weights_only) {
  OptimizerState state = optimizer_state();
  load_checkpoint(environment_, topology_, step_directory, store_, weights_only ? nullptr : &state);
  store_.round_values();
}

std::string Trainer::weights_hash() const {
  return weights_sha256(topology_, table_, stages_, store_);
}

}  // namespace lockstep
