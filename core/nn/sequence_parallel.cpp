#include "core/nn/sequence_parallel.hpp"

#include <cassert>
#include <utility>

namespace lockstep {
namespace {

Tensor flat(const Tensor& x) { return x.reshape({x.count()}); }

// A view.
Tensor shard_of(const Tensor& x, const Group& group) {
  assert(x.rows() % group.size() == 0);
  const Span own = span_of(x.rows(), group.rank(), group.size());
  return x.range(own.first, own.count);
}

}  // namespace

Tensor gather_shards(const Tensor& shard, Group& group, const char* what) {
  const Tensor whole =
      Tensor::empty({shard.rows() * group.size(), shard.columns()}, shard.dtype(), shard.device());
  shard_of(whole, group).copy_from(shard);
  group.all_gather(flat(whole), what);
  return whole;
}

Tensor sum_to_shards(Tensor partial, Group& group, const char* what) {
  group.reduce_scatter(flat(partial), what);
  return own_shard(partial, group);
}

// A copy, so that the memory of the other shards can go.
Tensor own_shard(const Tensor& x, const Group& group) { return shard_of(x, group).clone(); }

}  // namespace lockstep
