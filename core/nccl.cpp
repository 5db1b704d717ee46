#include "core/nccl.hpp"

#include "core/cuda/nccl.hpp"
#include "core/dispatch.hpp"

namespace lockstep {
namespace cpu {
namespace {

constexpr const char* of_gpus = "NCCL moves tensors of GPUs only";

std::string why_no_nccl(Device) { return of_gpus; }
NcclId make_nccl_id(Device) { fail(of_gpus); }
std::unique_ptr<NcclCommunicator> connect_nccl(Device, const NcclId&, int, int) { fail(of_gpus); }

}  // namespace
}  // namespace cpu

std::string why_no_nccl(Device device) { return LOCKSTEP_DISPATCH(device, why_no_nccl(device)); }
NcclId make_nccl_id(Device device) { return LOCKSTEP_DISPATCH(device, make_nccl_id(device)); }
std::unique_ptr<NcclCommunicator> connect_nccl(Device device,
                                               const NcclId& id,
                                               int rank,
                                               int size) {
  return LOCKSTEP_DISPATCH(device, connect_nccl(device, id, rank, size));
}

}  // namespace lockstep
