#pragma once

#include "core/nccl.hpp"

namespace lockstep::cuda {

std::string nccl_found();  // "2.28.9", or why NCCL is not to be had
std::string why_no_nccl(Device device);
NcclId make_nccl_id(Device device);
std::unique_ptr<NcclCommunicator> connect_nccl(Device device, const NcclId& id, int rank, int size);

}  // namespace lockstep::cuda
