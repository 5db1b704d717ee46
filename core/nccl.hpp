// Sums and gathers over ranks that each have a GPU of their own, by NVIDIA's NCCL: kernels of its
// own on a stream beside the ops. NCCL is loaded at run time; nothing here waits on the host.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "core/group.hpp"

namespace lockstep {

// What ranks must know of each other to connect: made by one, told to all.
using NcclId = std::array<char, 128>;

class NcclCommunicator {
 public:
  virtual ~NcclCommunicator() = default;

  // As of Group, over flat tensors; sums of f32, f64, i32, i64, in an order of NCCL's own that is
  // the same in every run. They begin when the ops asked for before them are done (or those that
  // `after` waits for); ops asked for after wait() see what they did.
  [[nodiscard]] virtual Pending start_sum(Tensor x, CopyTicket after) = 0;
  [[nodiscard]] virtual Pending start_sum_of_spans(Tensor x, Window of, CopyTicket after) = 0;
  [[nodiscard]] virtual Pending start_gather(Tensor x) = 0;  // from each rank its span_of
};

// Why NCCL is not to be had here; empty when it is.
std::string why_no_nccl(Device device);
NcclId make_nccl_id(Device device);
// Collective over `size` ranks with the same id; a GPU may not be two of them.
std::unique_ptr<NcclCommunicator> connect_nccl(Device device, const NcclId& id, int rank, int size);

}  // namespace lockstep
