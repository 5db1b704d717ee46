// Silent data corruption: a processor or a memory that returns wrong bits and says nothing.
// Replicas of a model hold equal weights, and in reproducible mode a microbatch has the same
// gradients on each of them, bit for bit. So every N steps each replica computes the first
// microbatch of the next one again, and digests of gradients and weights are compared.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "data/loader.hpp"
#include "launch/trainer.hpp"

namespace lockstep {

class ReplicaCheck {
 public:
  // every: steps, 0: never. data: this rank's. All must outlive this.
  ReplicaCheck(const Environment& environment,
               Trainer& trainer,
               const LoaderConfig& data,
               std::int64_t every);

  bool due(std::int64_t step) const { return every_ > 0 && step % every_ == 0; }

  // All collective.
  // Before the passes of a step that is due: the next replica's first microbatch.
  void recompute(std::int64_t step, const std::vector<LossTerm>& terms);
  // After them, before the weights change. own: of this rank's first microbatch. Throws AgreedError
  // naming the two ranks that differ.
  void compare(std::int64_t step, const GradientDigests& own);
  // Before a save: nothing that only one replica holds becomes a checkpoint. Nothing where every_
  // is 0.
  void compare_weights(std::int64_t step);

 private:
  using Digests = std::vector<std::int64_t>;

  Digests weight_digests() const;
  std::vector<Digests> gather(const Digests& own) const;
  void check_weights(std::int64_t step, const std::vector<Digests>& all) const;
  std::string name_of(int dp_rank) const;

  const Environment& environment_;
  Trainer& trainer_;
  std::int64_t every_;
  std::optional<Loader> next_;    // of the next replica's data
  GradientDigests next_digests_;  // as computed here
};

// Among the digests that replicas have of one thing: the replica that differs from the most, and
// one that it differs from; nothing when all agree.
struct Odd {
  int odd = 0, other = 0;
};
std::optional<Odd> odd_one(const std::vector<std::int64_t>& digests);

}  // namespace lockstep
