#include "launch/replica_check.hpp"

#include <algorithm>

#include "core/checksum.hpp"

namespace lockstep {
namespace {

// suspects: "one of them".
std::string cure(const char* suspects) {
  return build_string("; the processor or the memory of ", suspects,
                      " is faulty: take its node out and start again, the run goes on from its "
                      "newest checkpoint");
}

}  // namespace

std::optional<Odd> odd_one(const std::vector<std::int64_t>& digests) {
  const auto votes = [&](std::int64_t digest) {
    return std::count(digests.begin(), digests.end(), digest);
  };
  const auto fewer = [&](std::int64_t a, std::int64_t b) { return votes(a) < votes(b); };
  const auto common = std::max_element(digests.begin(), digests.end(), fewer);
  const auto odd = std::find_if(digests.begin(), digests.end(),
                                [&](std::int64_t digest) { return digest != *common; });
  if (odd == digests.end()) return std::nullopt;
  return Odd{static_cast<int>(odd - digests.begin()), static_cast<int>(common - digests.begin())};
}

ReplicaCheck::ReplicaCheck(const Environment& environment,
                           Trainer& trainer,
                           const LoaderConfig& data,
                           std::int64_t every)
    : environment_(environment), trainer_(trainer), every_(every) {
  if (every_ == 0) return;
  LoaderConfig next = data;
  next.dp_rank = (data.dp_rank + 1) % data.dp_degree;
  next.prefetch = 0;
  environment_.agree([&] { next_.emplace(next); });
}

void ReplicaCheck::recompute(std::int64_t step, const std::vector<LossTerm>& terms) {
  StepBatch batch;
  environment_.agree([&] { batch = next_->next(step); });
  next_digests_ = trainer_.digest_first(batch, step, terms);
}

std::string ReplicaCheck::name_of(int dp_rank) const {
  const Topology& t = trainer_.topology();
  return build_string("rank ", t.world_rank(dp_rank, t.pp_rank(), t.cp_rank(), t.tp_rank()));
}

// A digest of each parameter's values.
ReplicaCheck::Digests ReplicaCheck::weight_digests() const {
  Digests digests;
  for (const ParameterStore::Entry& entry : trainer_.store().entries()) {
    const Tensor value = entry.parameter.value.to(Device{});
    const auto bytes = static_cast<std::size_t>(value.count()) * size_of(value.dtype());
    digests.push_back(crc32c(value.raw(), bytes));
  }
  return digests;
}

// Of the ranks that hold the same part of the model and see the same part of a sequence, by dp
// rank.
std::vector<ReplicaCheck::Digests> ReplicaCheck::gather(const Digests& own) const {
  Group& dp = trainer_.topology().dp();
  const auto each = static_cast<index_t>(own.size());
  Tensor all = Tensor::zeros({each * dp.size()}, DType::i64);
  std::int64_t* numbers = all.data<std::int64_t>();
  std::copy(own.begin(), own.end(), numbers + each * dp.rank());
  dp.all_gather(all, "control");
  std::vector<Digests> digests;
  for (int r = 0; r < dp.size(); ++r, numbers += each)
    digests.emplace_back(numbers, numbers + each);
  return digests;
}

void ReplicaCheck::check_weights(std::int64_t step, const std::vector<Digests>& all) const {
  const auto& entries = trainer_.store().entries();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    std::vector<std::int64_t> digests;
    for (const Digests& replica : all) digests.push_back(replica[i]);
    const std::optional<Odd> found = odd_one(digests);
    if (!found) continue;
    fail("step ", step, ": silent data corruption: weight ", entries[i].row->name, " of ",
         name_of(found->odd), " differs from that of ", name_of(found->other),
         digests.size() > 2 ? " and most others" : "", cure("one of them"));
  }
}

void ReplicaCheck::compare(std::int64_t step, const GradientDigests& own) {
  Digests digests = weight_digests();
  const std::size_t weights = digests.size(), stages = own.size();
  digests.insert(digests.end(), own.begin(), own.end());
  digests.insert(digests.end(), next_digests_.begin(), next_digests_.end());
  const std::vector<Digests> all = gather(digests);
  // First, because weights that differ make the gradients of a whole replica differ.
  environment_.agree([&] { check_weights(step, all); });
  environment_.agree([&] {
    for (std::size_t r = 0; r < all.size(); ++r) {
      const std::size_t next = (r + 1) % all.size();
      const auto again = all[r].begin() + static_cast<std::ptrdiff_t>(weights + stages);
      const auto there = all[next].begin() + static_cast<std::ptrdiff_t>(weights);
      if (std::equal(again, all[r].end(), there)) continue;
      fail("step ", step, ": silent data corruption: a microbatch of ",
           name_of(static_cast<int>(next)), ", computed again on ", name_of(static_cast<int>(r)),
           ", has other gradients", cure("one of them, or of a rank in the same replica,"));
    }
  });
}

void ReplicaCheck::compare_weights(std::int64_t step) {
  if (every_ == 0) return;
  const std::vector<Digests> all = gather(weight_digests());
  environment_.agree([&] { check_weights(step, all); });
}

}  // namespace lockstep
