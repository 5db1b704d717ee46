#include "parallel/gradient/sync.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/fixed_sums.hpp"
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
  Parts(ParameterStore& store,
        const Topology& topology,
        const StageMap& stages,
        bool zero,
        bool fixed)
      : store(store),
        topology(topology),
        fixed(fixed),
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

  // Each use of a parameter is summed over its replicas before the uses are added: on one stage or
  // on several, the same order. ZeRO-1 therefore sums whole buffers here.
  void finish_fixed() {
    sum_partial();
    sum_in_buckets(store.gradients_by_use(), topology.replicas(), "gradient");
    store.join_uses();
    tied.sum();
  }

  // Calls f with each counted range of the flat gradients inside `own`.
  template <typename F>
  void for_counted(Span own, F f) const {
    for (const Span& span : counted) {
      const Span part = intersection(span, own);
      if (part.count > 0) f(gradients.range(part.first, part.count));
    }
  }

  // Squares in bins, whose sums are exact: no cut over tp, pp or ZeRO changes a bit.
  double fixed_norm(Span own) const {
    Tensor largest = Tensor::zeros({1}, DType::f64), bins = Tensor::zeros({3}, DType::f64);
    double& most = largest.data<double>()[0];
    double* sums = bins.data<double>();
    for_counted(own, [&](const Tensor& part) { most = std::max(most, largest_magnitude(part)); });
    all_reduce(largest, Reduce::max);
    for_counted(own, [&](const Tensor& part) {
      const SquareBins squares = squares_in_bins(part, most);
      for (std::size_t bin = 0; bin < squares.size(); ++bin) sums[bin] += squares[bin];
    });
    all_reduce(bins, Reduce::sum);
    return std::sqrt(sums[0] + (sums[1] + sums[2]));
  }

  // Over the ranks that hold different parts of one replica's sums.
  void all_reduce(Tensor& x, Reduce reduce) const {
    topology.model().all_reduce(x, reduce, "norm");
    if (sharded) topology.replicas().all_reduce(x, reduce, "norm");
  }

  ParameterStore& store;
  const Topology& topology;
  bool fixed;
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
                           bool zero,
                           bool fixed) {
  const Degrees& degrees = topology.degrees();
  require(stages.num_ranks() == degrees.pp, "--pp ", degrees.pp, " does not match ",
          stages.num_ranks(), " ranks with stages of the model");
  parts_ = std::make_unique<Parts>(store, topology, stages, zero, fixed);
  own_span_ = zero ? parts_->shard.own_span() : Span{0, store.count()};
}

GradientSync::~GradientSync() = default;

void GradientSync::finish() {
  if (parts_->fixed) return parts_->finish_fixed();
  parts_->tied.sum();
  parts_->sum_partial();
  if (parts_->sharded) {
    parts_->shard.sum(parts_->gradients);
  } else {
    sum_in_buckets(parts_->gradients, parts_->topology.replicas(), "gradient");
  }
}

Tensor GradientSync::sum_of_squares() const {
  Tensor total = Tensor::zeros({1}, DType::f64, parts_->gradients.device());
  if (parts_->fixed) return total;  // fixed_norm() goes over the gradients twice
  parts_->for_counted(own_span_, [&](const Tensor& part) { add_sum_of_squares(total, part); });
  return total;
}

double GradientSync::norm(const Tensor& squares) const {
  if (parts_->fixed) return parts_->fixed_norm(own_span_);
  Tensor total = squares.to(Device{});
  parts_->all_reduce(total, Reduce::sum);
  return std::sqrt(total.data<double>()[0]);
}

void GradientSync::gather_values() {
  if (parts_->sharded) parts_->shard.gather(parts_->values);
}

}  // namespace lockstep
