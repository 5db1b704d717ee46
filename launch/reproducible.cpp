#include "launch/reproducible.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "core/error.hpp"

namespace lockstep {

bool fixes_sums(bool reproducible, Device device) {
  return reproducible && device.kind == Device::Kind::cpu;
}

bool times_products(bool reproducible, const Degrees& degrees) {
  return !reproducible && degrees.tp == 1;
}

index_t tensor_shards(const ModelConfig& model) {
  return shards_of(std::gcd(std::gcd(model.heads, model.ffn_width), model.padded_vocab));
}

Summation fixed_order(const ModelConfig& model, const Degrees& degrees) {
  const index_t shards = tensor_shards(model);
  require(shards % degrees.tp == 0, "--tp ", degrees.tp, " with --reproducible must divide ",
          shards, ", the power of two up to ", SumOrder::most_chains, " that divides --heads ",
          model.heads, ", --ffn-width ", model.ffn_width, " and the padded vocabulary of ",
          model.padded_vocab);
  require(std::has_single_bit(static_cast<unsigned>(degrees.cp)), "--cp ", degrees.cp,
          " with --reproducible must be a power of two");
  require(model.heads % (degrees.tp * degrees.cp) == 0, "--cp ", degrees.cp,
          " with --reproducible must divide the heads of a rank, ", model.heads / degrees.tp,
          ": ranks exchange rows for heads");
  Summation sums;
  sums.fixed = true;
  sums.tensor_shards = shards;
  return sums;
}

Summation fixed_order(const ModelConfig& model,
                      const Degrees& degrees,
                      index_t global_batch_size,
                      index_t microbatch_size) {
  Summation sums = fixed_order(model, degrees);
  const index_t shards = shards_of(global_batch_size), shard = global_batch_size / shards;
  require(shards % degrees.dp == 0, "dp ", degrees.dp, " with --reproducible must divide ", shards,
          ", the power of two up to ", SumOrder::most_chains, " that divides --global-batch-size ",
          global_batch_size);
  require(shard % microbatch_size == 0 || microbatch_size % shard == 0, "--microbatch-size ",
          microbatch_size, " with --reproducible must divide a data shard of ", shard,
          " sequences (--global-batch-size ", global_batch_size, " / ", shards,
          ") or be a whole number of them");
  sums.data_shards = std::max<index_t>(1, microbatch_size / shard);
  return sums;
}

int gradient_leaves(const Degrees& degrees, index_t global_batch_size, index_t microbatch_size) {
  const index_t shards = shards_of(global_batch_size), shard = global_batch_size / shards;
  return static_cast<int>(shards / degrees.dp / std::max<index_t>(1, microbatch_size / shard));
}

}  // namespace lockstep
