#include "parallel/gradient/sync.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/ops/elementwise.hpp"
#include "parallel/gradient/bucket.hpp"
#include "parallel/gradient/sharded.hpp"
#include "parallel/gradient/tied.hpp"

namespace lockstep {
namespace {

Span intersection(Span a, Span b) {
  const index_t first = std::max(a.first, b.first);
  const index_t last = std::min(a.first + a.count, b.first + b.count);
  return {first, std::max<index_t>(0, last - first)};
}

// Of all ranks of a replica that hold an element of this parameter, exactly one counts it: the
// first pp rank that uses it, and tp rank 0 unless the parameter is cut over tp.
bool counts(const ParameterStore::Entry& entry, const Topology& topology, const StageMap& stages) {
  const bool first_user = stages.ranks_with(entry.row->uses).front() == topology.pp_rank();
  return first_user && (entry.row->cut.kind == Cut::Kind::dim || topology.tp_rank() == 0);
}

}  // namespace

struct GradientSync::Parts {
  Parts(ParameterStore& store, const Topology& topology, const StageMap& stages, bool zero)
      : topology(topology),
        values(store.values()),
        gradients(store.gradients()),
        sharded(zero),
        shard(store.count(), topology.replicas()),
        tied(store.entries(), topology, stages) {
    for (const auto& entry : store.entries()) {
      if (entry.row->cut.kind == Cut::Kind::partial) partial.push_back(entry.parameter.gradient);
      if (counts(entry, topology, stages))
        counted.push_back({entry.offset, entry.rectangle.count()});
    }
  }

  void sum_partial() {
    std::vector<Pending> pending;
    for (const Tensor& gradient : partial) {
      pending.push_back(topology.tp().start_all_reduce(gradient, Reduce::sum, "replicated"));
    }
    for (Pending& sum : pending) sum.wait();
  }

  const Topology& topology;
  Tensor values, gradients;
  bool sharded;
  Sharded shard;
  TiedSums tied;
  std::vector<Tensor> partial;
  std::vector<Span> counted;  // of the flat buffers: what this rank adds to the norm
};

GradientSync::GradientSync(ParameterStore& store,
                           const Topology& topology,
                           const StageMap& stages,
                           bool zero) {
  const Degrees& degrees = topology.degrees();
  require(stages.num_ranks() == degrees.pp, "--pp ", degrees.pp, " does not match ",
          stages.num_ranks(), " ranks with stages of the model");
  parts_ = std::make_unique<Parts>(store, topology, stages, zero);
  own_span_ = zero ? parts_->shard.own_span() : Span{0, store.count()};
}

GradientSync::~GradientSync() = default;

void GradientSync::finish() {
  parts_->tied.sum();
  parts_->sum_partial();
  if (parts_->sharded) {
    parts_->shard.sum(parts_->gradients);
  } else {
    sum_in_buckets(parts_->gradients, parts_->topology.replicas(), "gradient");
  }
}

double GradientSync::norm() {
  Tensor total = Tensor::zeros({1}, DType::f64);
  for (const Span& span : parts_->counted) {
    const Span own = intersection(span, own_span_);
    if (own.count == 0) continue;
    total.data<double>()[0] += sum_of_squares(parts_->gradients.range(own.first, own.count));
  }
  parts_->topology.model().all_reduce(total, Reduce::sum, "norm");
  if (parts_->sharded) parts_->topology.replicas().all_reduce(total, Reduce::sum, "norm");
  return std::sqrt(total.data<double>()[0]);
}

void GradientSync::gather_values() {
  if (parts_->sharded) parts_->shard.gather(parts_->values);
}

}  // namespace lockstep
