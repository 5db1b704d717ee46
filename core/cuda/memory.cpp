#include "core/cuda/memory.hpp"

#include "core/cuda/check.hpp"
#include "core/cuda/runtime.hpp"
#include "core/error.hpp"

namespace lockstep::cuda {
namespace {

// A batch is smaller; page-locked memory for weights is better left to others.
constexpr std::size_t largest_upload = std::size_t{4} << 20;

// "13.0" of 13000.
std::string version_text(int version) {
  return build_string(version / 1000, ".", version % 1000 / 10);
}

}  // namespace

void* allocate(Device device, std::size_t bytes) { return Runtime::of(device).allocate(bytes); }

void release(Device device, void* pointer, std::size_t) {
  Runtime::of(device).release(static_cast<std::byte*>(pointer));
}

void* allocate_staging(Device device, std::size_t bytes) {
  return Runtime::of(device).allocate_staging(bytes);
}

void release_staging(Device device, void* pointer, std::size_t bytes) {
  Runtime::of(device).release_staging(pointer, bytes);
}

MemoryUse memory_use(Device device) { return Runtime::of(device).memory_use(); }

void copy_rows(ByteRows to, ByteRows from, std::size_t row_bytes, std::size_t rows) {
  if (row_bytes * rows == 0) return;
  const bool on_one_device = to.device == from.device;
  const Device device = to.device.kind == Device::Kind::cuda ? to.device : from.device;
  require(on_one_device || to.device.kind != from.device.kind, "no copy from ",
          to_string(from.device), " to ", to_string(to.device));
  Runtime& runtime = Runtime::of(device);
  const bool adjacent = rows == 1 || (to.stride == row_bytes && from.stride == row_bytes);
  const bool uploads = row_bytes * rows <= largest_upload || runtime.capture().active();
  if (adjacent && uploads && from.device.kind == Device::Kind::cpu)
    return runtime.upload(to.data, from.data, row_bytes * rows);
  if (adjacent) {
    check(
        cudaMemcpyAsync(to.data, from.data, row_bytes * rows, cudaMemcpyDefault, runtime.stream()));
  } else {
    check(cudaMemcpy2DAsync(to.data, to.stride, from.data, from.stride, row_bytes, rows,
                            cudaMemcpyDefault, runtime.stream()));
  }
  if (!on_one_device) check(cudaStreamSynchronize(runtime.stream()));
}

void zero_rows(ByteRows to, std::size_t row_bytes, std::size_t rows) {
  if (row_bytes * rows == 0) return;
  cudaStream_t stream = Runtime::of(to.device).stream();
  if (rows == 1 || to.stride == row_bytes) {
    check(cudaMemsetAsync(to.data, 0, row_bytes * rows, stream));
  } else {
    check(cudaMemset2DAsync(to.data, to.stride, 0, row_bytes, rows, stream));
  }
}

void synchronize(Device device) { check(cudaStreamSynchronize(Runtime::of(device).stream())); }

CopyTicket start_copy_out(Device device,
                          void* to,
                          const void* from,
                          std::size_t bytes,
                          CopyTicket after) {
  return Runtime::of(device).start_copy_out(to, from, bytes, after);
}

CopyTicket start_copy_in(Device device,
                         void* to,
                         const void* from,
                         std::size_t bytes,
                         CopyTicket after) {
  return Runtime::of(device).start_copy_in(to, from, bytes, after);
}

CopyTicket start_waiting(Device device) { return Runtime::of(device).start_waiting(); }

bool done(Device device, CopyTicket ticket) { return Runtime::of(device).done(ticket); }

// Without a driver the runtime answers 35 (driver too old) and leaves the count alone.
int num_gpus(Device, std::string* reason) {
  int gpus = 0;
  const cudaError_t code = cudaGetDeviceCount(&gpus);
  if (code == cudaSuccess && gpus > 0) return gpus;
  (void)cudaGetLastError();
  if (reason == nullptr) return 0;
  int driver = 0, runtime = 0;
  (void)cudaDriverGetVersion(&driver);
  (void)cudaRuntimeGetVersion(&runtime);
  if (driver == 0) {
    *reason =
        build_string("no NVIDIA driver (libcuda.so.1) is there; this build wants one for CUDA ",
                     version_text(runtime));
  } else if (driver < runtime) {
    *reason =
        build_string("the NVIDIA driver is for CUDA ", version_text(driver),
                     ", this build wants CUDA ", version_text(runtime), ": update the driver");
  } else {
    *reason = build_string("no GPU is visible (CUDA_VISIBLE_DEVICES?): ", cudaGetErrorString(code));
  }
  return 0;
}

}  // namespace lockstep::cuda
