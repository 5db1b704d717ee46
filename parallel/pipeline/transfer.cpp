#include "parallel/pipeline/transfer.hpp"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

namespace lockstep {
namespace {

constexpr int most_pairs = 32767 / 2;  // every MPI allows tags up to 32767; two directions each

Tensor& member(Bundle& bundle, const std::string& name) {
  if (name == "x") return bundle.x;
  if (name == "memory") return bundle.memory;
  assert(name == "g");
  return bundle.g;
}

bool crosses(const TensorSpec& spec, Direction direction) {
  return direction == Direction::onward || spec.differentiable;
}

}  // namespace

Transfer start_send(Group& pp,
                    Bundle bundle,
                    const std::vector<TensorSpec>& border,
                    int to,
                    int tag,
                    Direction direction) {
  Transfer transfer{std::move(bundle), {}};
  for (const TensorSpec& spec : border) {
    if (!crosses(spec, direction)) continue;
    Tensor& x = member(transfer.bundle, spec.name);
    if (!x.contiguous()) x = x.clone();
    transfer.parts.push_back(pp.start_send(x, to, tag, "stage"));
  }
  return transfer;
}

Transfer start_receive(Group& pp,
                       const std::vector<TensorSpec>& border,
                       int from,
                       int tag,
                       Direction direction) {
  Transfer transfer;
  for (const TensorSpec& spec : border) {
    if (!crosses(spec, direction)) continue;
    Tensor& x = member(transfer.bundle, spec.name);
    x = Tensor::empty(spec.shape, spec.dtype, spec.device);
    transfer.parts.push_back(pp.start_receive(x, from, tag, "stage"));
  }
  return transfer;
}

int microbatches_with_own_tags(int borders) {
  return std::max(1, most_pairs / std::max(1, borders));
}

int transfer_tag(int border, int borders, int microbatch, Direction direction) {
  const int own = microbatches_with_own_tags(borders);
  const int pair = (border * own + microbatch % own) % most_pairs;
  return 2 * pair + (direction == Direction::onward ? 0 : 1);
}

}  // namespace lockstep
