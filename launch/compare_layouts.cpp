#include "launch/compare_layouts.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include "parallel/pipeline/schedules.hpp"
#include "parallel/tensor/shard_plan.hpp"

namespace lockstep {
namespace {

double relative(double value, double reference) {
  return std::abs(value - reference) / std::max(std::abs(reference), 1e-300);
}

double at(const Tensor& x, index_t i) {
  return x.dtype() == DType::f64 ? x.data<double>()[i] : static_cast<double>(x.data<float>()[i]);
}

// The same model and steps on one rank, on the CPU. Microbatches stay as large: memory is that of
// one rank.
TrainerConfig on_one_rank(const TrainerConfig& config) {
  TrainerConfig alone = config;
  alone.degrees = {};
  alone.device = {};
  alone.schedule = make_schedule("1f1b", 1, config.schedule.microbatches * config.degrees.dp);
  alone.sequence_parallel = alone.zero = false;
  alone.gpu = {};
  alone.gradient_leaves *= config.degrees.dp;
  return alone;
}

StepResult train(Trainer& trainer, const StepBatch& batch, std::int64_t step) {
  const StepAgreement agreement = trainer.agree(batch, {});
  return trainer.compute_gradients(batch, step, agreement.terms);
}

// Whether this rank's copy of a parameter is the one that is compared.
bool compares(const ParameterStore::Entry& entry, const Trainer& trainer) {
  const Topology& topology = trainer.topology();
  const bool first_user =
      trainer.stages().ranks_with(entry.row->uses).front() == topology.pp_rank();
  const bool alone_in_tp = entry.row->cut.kind == Cut::Kind::dim || topology.tp_rank() == 0;
  const bool alone_in_dp = trainer.config().zero || topology.replicas().rank() == 0;
  return first_user && alone_in_tp && alone_in_dp;
}

struct Squares {
  double difference = 0, reference = 0;
};

// This rank's share of the squared difference to the whole canonical gradient (rows, columns);
// mine: all its gradients.
Squares squares_of(const ParameterStore::Entry& entry,
                   const Tensor& whole,
                   const Tensor& mine,
                   Span own_span) {
  Squares squares;
  for (const Piece& piece : pieces_of(entry, own_span)) {
    index_t offset = piece.offset;
    for (index_t row = piece.rectangle.row0; row < piece.rectangle.row1; ++row) {
      for (index_t column = piece.rectangle.col0; column < piece.rectangle.col1; ++column) {
        const double wanted = at(whole, row * whole.columns() + column);
        const double off = at(mine, offset++) - wanted;
        squares.difference += off * off;
        squares.reference += wanted * wanted;
      }
    }
  }
  return squares;
}

std::vector<ParameterDifference> compare_gradients(const Environment& environment,
                                                   Trainer& trainer,
                                                   Trainer* alone,
                                                   double norm) {
  const auto& rows = trainer.table().rows();
  const Tensor mine = trainer.store().gradients().to(Device{});
  Tensor sums = Tensor::zeros({static_cast<index_t>(rows.size()), 2}, DType::f64);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ParameterRow& row = rows[i];
    Tensor whole = Tensor::empty({row.canonical_rows(), row.canonical_columns()},
                                 value_type(trainer.config().precision));
    if (alone != nullptr) {
      const Tensor gradient = alone->store().get(row.name).gradient;
      whole.copy_from(gradient.reshape({gradient.count() / whole.columns(), whole.columns()})
                          .range(0, whole.rows()));
    }
    environment.world().broadcast(whole, 0, "verify");
    for (const ParameterStore::Entry& entry : trainer.store().entries()) {
      if (entry.row != &row || !compares(entry, trainer)) continue;
      const Squares squares = squares_of(entry, whole, mine, trainer.own_span());
      sums.data<double>()[2 * i] = squares.difference;
      sums.data<double>()[2 * i + 1] = squares.reference;
    }
  }
  environment.world().all_reduce(sums, Reduce::sum, "verify");
  std::vector<ParameterDifference> differences;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double* pair = sums.data<double>() + 2 * i;
    const double scale = std::max(std::sqrt(pair[1]), 1e-3 * norm);
    differences.push_back({rows[i].name, std::sqrt(pair[0]) / std::max(scale, 1e-300)});
  }
  return differences;
}

}  // namespace

double LayoutTolerance::loss(std::int64_t step) const {
  if (step == 1) return first_step;
  const double tens = static_cast<double>(step) / 10;
  return later_steps * (grows && tens > 1 ? tens * tens : 1);
}

LayoutTolerance layout_tolerance(DType precision, bool fixed_order, AttentionKernels attention) {
  if (fixed_order) return {};
  if (precision == DType::f64) return {1e-9, 1e-9, 1e-9, false};
  if (precision == DType::bf16)
    return {1e-3, 1e-2, attention == AttentionKernels::plain ? 1e-2 : 2e-2, true};
  return {1e-6, 1e-5, 1e-5, true};
}

double LayoutComparison::worst_loss() const {
  double worst = 0;
  for (const StepDifference& step : steps)
    worst = std::max(worst, relative(step.loss, step.one_rank_loss));
  return worst;
}

double LayoutComparison::worst_norm() const {
  double worst = 0;
  for (const StepDifference& step : steps)
    worst = std::max(worst, relative(step.gradient_norm, step.one_rank_gradient_norm));
  return worst;
}

double LayoutComparison::worst_gradient() const {
  double worst = 0;
  for (const ParameterDifference& parameter : gradients)
    worst = std::max(worst, parameter.relative);
  return worst;
}

LayoutComparison compare_with_one_rank(const Environment& environment,
                                       const TrainerConfig& config,
                                       const MakeBatch& make_batch,
                                       std::int64_t steps,
                                       const std::function<double(std::int64_t)>& learning_rate) {
  const Environment one{Alone{}};
  std::unique_ptr<Trainer> alone;
  if (environment.rank() == 0) alone = std::make_unique<Trainer>(one, on_one_rank(config));
  if (alone) alone->initialize();
  Trainer trainer(environment, config);
  trainer.initialize();
  const Topology& topology = trainer.topology();
  const BatchPart part{
      topology.dp_rank(), config.degrees.dp, {topology.cp_rank(), config.degrees.cp}};
  LayoutComparison comparison;
  for (std::int64_t step = 1; step <= steps; ++step) {
    StepResult result = train(trainer, make_batch(step, part), step), expected;
    std::vector<double> reference(
        3);  // loss, gradient norm, its like before the division by counts
    if (alone) {
      expected = train(*alone, make_batch(step, {}), step);
      const auto count = static_cast<double>(std::max<std::int64_t>(expected.terms[0].count, 1));
      reference = {expected.loss, expected.gradient_norm, expected.gradient_norm * count};
    }
    Tensor shared = Tensor::from(reference, {3});
    environment.world().broadcast(shared, 0, "verify");
    const double* wanted = shared.data<double>();
    comparison.steps.push_back({result.loss, wanted[0], result.gradient_norm, wanted[1]});
    if (step == 1)
      comparison.gradients = compare_gradients(environment, trainer, alone.get(), wanted[2]);
    trainer.apply_gradients(step, learning_rate(step), result);
    if (alone) alone->apply_gradients(step, learning_rate(step), expected);
  }
  return comparison;
}

}  // namespace lockstep
