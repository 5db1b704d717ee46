#include "core/nn/ordered_rows.hpp"

#include <algorithm>
#include <utility>

namespace lockstep {
namespace {

// Where a row stands in the uncut microbatch: sample * positions + position.
class Places {
 public:
  explicit Places(const BatchView& batch)
      : batch_(batch), S_(batch.cut.chunk_length(batch.T)), length_(batch.T * batch.cut.size) {
    assert(!batch.row_starts.defined());
  }

  std::int64_t of(index_t row) const {
    const index_t chunk = row / (batch_.B * S_), rest = row % (batch_.B * S_);
    return rest / S_ * length_ + batch_.cut.first_position(static_cast<int>(chunk), batch_.T) +
           rest % S_;
  }
  std::int64_t end() const { return batch_.B * length_; }

 private:
  const BatchView& batch_;
  index_t S_, length_;
};

std::vector<std::int64_t> places_of_rows(const Context& context, const Places& places) {
  std::vector<std::int64_t> keys;
  const Tensor& picked = context.sums.picked;
  const index_t n = picked.defined() ? picked.count() : context.batch.B * context.batch.T;
  for (index_t i = 0; i < n; ++i) {
    keys.push_back(places.of(picked.defined() ? picked.data<std::int32_t>()[i] : i));
  }
  return keys;
}

// Where each of `shards` equal runs of samples begins and ends among ascending keys below `end`.
std::vector<index_t> bounds_of(const std::vector<std::int64_t>& keys,
                               index_t shards,
                               std::int64_t end) {
  std::vector<index_t> bounds;
  for (index_t shard = 0; shard <= shards; ++shard) {
    bounds.push_back(std::lower_bound(keys.begin(), keys.end(), end / shards * shard) -
                     keys.begin());
  }
  return bounds;
}

// Places for `each` rows of C columns from every rank, this rank's filled in; then all.
Tensor gathered(const Tensor& x, index_t each, Group& cp) {
  Tensor all = Tensor::zeros({cp.size() * each, x.columns()}, x.dtype(), x.device());
  all.range(cp.rank() * each, x.rows()).copy_from(x);
  cp.all_gather(all.reshape({all.count()}), "replicated");
  return all;
}

}  // namespace

bool Summation::keeps_rows_together() const {
  return fixed && (data_shards > 1 || (cp != nullptr && cp->size() > 1));
}

OrderedRows::OrderedRows(const Context& context)
    : cp_(context.sums.cp != nullptr && context.sums.cp->size() > 1 ? context.sums.cp : nullptr) {
  const Places places(context.batch);
  std::vector<std::int64_t> keys = places_of_rows(context, places);
  if (cp_ != nullptr) exchange_keys(keys);
  order_ = SumOrder::between(bounds_of(keys, context.sums.data_shards, places.end()));
}

// From this rank's keys to those of all ranks, ascending.
void OrderedRows::exchange_keys(std::vector<std::int64_t>& keys) {
  Tensor most = Tensor::from<std::int64_t>({static_cast<std::int64_t>(keys.size())}, {1});
  cp_->all_reduce(most, Reduce::max, "control");
  longest_ = most.data<std::int64_t>()[0];
  // One more than the place, so that the zeros of ranks with fewer rows are none.
  Tensor mine = Tensor::empty({static_cast<index_t>(keys.size()), 1}, DType::i64);
  for (index_t i = 0; i < mine.count(); ++i) {
    mine.data<std::int64_t>()[i] = keys[static_cast<std::size_t>(i)] + 1;
  }
  const Tensor all = gathered(mine, longest_, *cp_);
  std::vector<std::pair<std::int64_t, index_t>> rows;
  for (index_t i = 0; i < all.count(); ++i) {
    if (all.data<std::int64_t>()[i] > 0) rows.emplace_back(all.data<std::int64_t>()[i] - 1, i);
  }
  std::sort(rows.begin(), rows.end());
  keys.clear();
  for (const auto& [key, source] : rows) {
    keys.push_back(key);
    sources_.push_back(source);
  }
}

Tensor OrderedRows::whole(const Tensor& x) const {
  if (cp_ == nullptr) return x;
  const Tensor all = gathered(x, longest_, *cp_);
  Tensor ordered =
      Tensor::empty({static_cast<index_t>(sources_.size()), x.columns()}, x.dtype(), x.device());
  for (index_t i = 0; i < ordered.rows(); ++i) {
    ordered.range(i, 1).copy_from(all.range(sources_[static_cast<std::size_t>(i)], 1));
  }
  return ordered;
}

Span OrderedRows::own(index_t n, int rank, int ranks) const {
  if (cp_ == nullptr) return span_of(n, rank, ranks);
  return span_of(n, rank * cp_->size() + cp_->rank(), ranks * cp_->size());
}

}  // namespace lockstep
