#include "parallel/gradient/sync.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

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
        stages(stages),
        fixed(fixed),
        values(store.values()),
        gradients(store.gradients()),
        sharded(zero),
        shard(store.count(), topology.replicas()),
        tied(store.entries(), topology, stages) {
    for (const StageRange range : stages.of_rank(topology.pp_rank())) ranges.push_back(range);
    for (const auto& entry : store.entries()) {
      if (entry.row->cut.kind == Cut::Kind::partial)
        partial.push_back({entry.offset, entry.rectangle.count()});
      if (counts(entry, topology, stages))
        counted.push_back({entry.offset, entry.rectangle.count()});
    }
  }

  // What of them lies in `own`, which is the same on all ranks of tp.
  void sum_partial(Span own) {
    std::vector<Pending> pending;
    for (const Span& span : partial) {
      const Span part = intersection(span, own);
      if (part.count == 0) continue;
      pending.push_back(topology.tp().start_all_reduce(gradients.range(part.first, part.count),
                                                       Reduce::sum, "replicated"));
    }
    for (Pending& sum : pending) sum.wait();
  }

  // Each use of a parameter is summed over its replicas before the uses are added: on one stage or
  // on several, the same order. ZeRO-1 therefore sums whole buffers here.
  void finish_fixed() {
    sum_partial({0, gradients.count()});
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

  // ZeRO-1 leaves a rank the sums of its own span alone, and that lies elsewhere on other stages:
  // what stages share is summed over them before.
  void finish_begun() {
    if (sharded) tied.sum();
    early->finish();
    early.reset();
    sum_partial(sharded ? shard.own_span() : Span{0, gradients.count()});
    if (!sharded) tied.sum();
  }

  void begin() {
    using Result = BucketSums::Result;
    early.emplace(gradients, topology.replicas(), "gradient",
                  sharded ? Result::own_span : Result::whole);
    uses_left.clear();
    for (const auto& entry : store.entries()) {
      const bool waits = sharded && stages.ranks_with(entry.row->uses).size() > 1;
      uses_left.push_back(waits ? 1 : 0);  // for finish_begun()
      for (const StageRange range : ranges) {
        for (const index_t use : entry.row->uses)
          uses_left.back() += use >= range.first && use < range.last ? 1 : 0;
      }
    }
    num_open = uses_left.size();
  }

  void layer_done(index_t position) {
    const auto& entries = store.entries();
    for (std::size_t i = 0; i < entries.size(); ++i) {
      for (const index_t use : entries[i].row->uses) uses_left[i] -= use == position ? 1 : 0;
    }
    while (num_open > 0 && uses_left[num_open - 1] == 0) --num_open;
    early->release(num_open == 0 ? 0
                                 : entries[num_open - 1].offset +
                                       entries[num_open - 1].parameter.gradient.count());
    early->advance();
  }

  ParameterStore& store;
  const Topology& topology;
  StageMap stages;
  bool fixed;
  Tensor values, gradients;
  bool sharded;
  Sharded shard;
  TiedSums tied;
  // Of the flat buffers: parameters of kind `partial`, and what this rank adds to the norm.
  std::vector<Span> partial, counted;
  std::vector<StageRange> ranges;
  // Of a step whose sums begin early: what each entry's layers have yet to add, and how many
  // entries, from the first, end with one that is not whole.
  std::optional<BucketSums> early;
  std::vector<int> uses_left;
  std::size_t num_open = 0;
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

BackwardObserver* GradientSync::begin() {
  const bool early = !parts_->fixed && parts_->topology.replicas().size() > 1;
  if (early) parts_->begin();
  return early ? this : nullptr;
}

void GradientSync::op_done() { parts_->early->advance(); }
void GradientSync::layer_done(index_t position) { parts_->layer_done(position); }

void GradientSync::finish() {
  if (parts_->fixed) return parts_->finish_fixed();
  if (!parts_->early) parts_->begin();
  parts_->finish_begun();
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
