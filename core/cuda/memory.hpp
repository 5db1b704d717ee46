// What core/device.hpp needs of a GPU. No CUDA header: every build includes this, the CUDA builds
// define it.
#pragma once

#include "core/device.hpp"

namespace lockstep::cuda {

void* allocate(Device device, std::size_t bytes);
void release(Device device, void* pointer, std::size_t bytes);
void* allocate_staging(Device device, std::size_t bytes);
void release_staging(Device device, void* pointer, std::size_t bytes);
MemoryUse memory_use(Device device);
void copy_rows(ByteRows to, ByteRows from, std::size_t row_bytes, std::size_t rows);
void zero_rows(ByteRows to, std::size_t row_bytes, std::size_t rows);
void synchronize(Device device);
CopyTicket start_copy_out(Device device,
                          void* to,
                          const void* from,
                          std::size_t bytes,
                          CopyTicket after);
CopyTicket start_copy_in(Device device,
                         void* to,
                         const void* from,
                         std::size_t bytes,
                         CopyTicket after);
CopyTicket start_waiting(Device device);
bool done(Device device, CopyTicket ticket);
int num_gpus(Device any, std::string* reason);

}  // namespace lockstep::cuda
