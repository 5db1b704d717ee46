#include "launch/evaluation.hpp"

#include <algorithm>

namespace lockstep {
namespace {

constexpr index_t batches_at_a_time =
    8;  // in flight through the pipeline; bounds the memory of the walk

std::int64_t real_tokens(const Batch& batch) {
  if (!batch.lengths.defined()) return batch.B * batch.T * batch.cut.size;
  std::int64_t tokens = 0;
  for (index_t b = 0; b < batch.B; ++b) tokens += batch.lengths.data<std::int32_t>()[b];
  return tokens;
}

}  // namespace

Figures figures(const std::vector<LossTerm>& terms, bool accuracies) {
  Figures figures;
  if (terms.front().name == "lm") return figures;
  for (const LossTerm& term : terms) {
    const auto count = static_cast<double>(std::max<std::int64_t>(term.count, 1));
    figures.emplace_back(term.name + "_loss", term.sum / count);
    if (accuracies)
      figures.emplace_back(term.name + "_accuracy", static_cast<double>(term.correct) / count);
  }
  return figures;
}

Evaluation evaluate_all(const Environment& environment,
                        Trainer& trainer,
                        const ValidationLoader& loader) {
  Evaluation total;
  total.terms = loss_terms(trainer.config().model);
  for (index_t first = 0; first < loader.num_microbatches(); first += batches_at_a_time) {
    std::vector<Batch> batches;
    environment.agree([&] {
      const index_t last = std::min(first + batches_at_a_time, loader.num_microbatches());
      for (index_t i = first; i < last; ++i) batches.push_back(loader.microbatch(i));
    });
    const std::vector<LossTerm> terms = trainer.evaluate(batches);
    for (std::size_t i = 0; i < terms.size(); ++i) {
      total.terms[i].sum += terms[i].sum;
      total.terms[i].count += terms[i].count;
      total.terms[i].correct += terms[i].correct;
    }
    for (const Batch& batch : batches) total.tokens += real_tokens(batch);
  }
  // Every rank of a replica read the same batches, or a part of each: one of them counts.
  const Topology& topology = trainer.topology();
  const bool counts = topology.pp_rank() == 0 && topology.cp_rank() == 0 && topology.tp_rank() == 0;
  Tensor tokens = Tensor::from(std::vector<std::int64_t>{counts ? total.tokens : 0}, {1});
  topology.world().all_reduce(tokens, Reduce::sum, "loss");
  total.tokens = tokens.data<std::int64_t>()[0];
  return total;
}

}  // namespace lockstep
