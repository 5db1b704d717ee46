// Bundles under way between the ranks of a pipeline.
#pragma once

#include <vector>

#include "core/group.hpp"
#include "core/model/bundle.hpp"

namespace lockstep {

enum class Direction {
  onward,
  back
};  // activations to the next stage, gradients to the one before

// Destroyed last to first: the parts wait, then the memory goes.
struct Transfer {
  Bundle bundle;
  std::vector<Pending> parts;  // one per member

  void wait() {
    for (Pending& part : parts) part.wait();
  }
};

// The members of `border` that travel in this direction, as messages of one tag.
Transfer start_send(Group& pp,
                    Bundle bundle,
                    const std::vector<TensorSpec>& border,
                    int to,
                    int tag,
                    Direction direction);
Transfer start_receive(Group& pp,
                       const std::vector<TensorSpec>& border,
                       int from,
                       int tag,
                       Direction direction);

// The tag of what crosses border `border` (between virtual stages border and border + 1) of
// `borders`. Unique while microbatches are fewer than 16383 / borders; beyond, tags come round
// again, and messages of one tag must be sent in the order they are received in.
int transfer_tag(int border, int borders, int microbatch, Direction direction);
int microbatches_with_own_tags(int borders);

}  // namespace lockstep
