// An MPI library that takes device memory, as a layer over the one there is: what is sent is read
// when the send is posted, what is received is written when the request is seen done, whatever the
// streams still hold back. LOCKSTEP_EMULATED_MPI=cuda-aware asks for it; =wrong for one that loses
// a byte of each message; else the library is asked.
#include <cstdlib>
#include <cstring>
#include <map>
#include <string_view>
#include <vector>

#include <mpi.h>

#include "tests/emulation/include/cuda_runtime.h"

namespace {

std::string_view asked_for() {
  const char* text = std::getenv("LOCKSTEP_EMULATED_MPI");
  return text == nullptr ? "" : text;
}

struct Message {
  std::vector<char> bytes;
  void* to = nullptr;  // device memory; null: sent
};

std::map<MPI_Request, Message>& under_way() {
  static std::map<MPI_Request, Message> messages;
  return messages;
}

std::size_t bytes_of(int count, MPI_Datatype type) {
  int size = 0;
  MPI_Type_size(type, &size);
  return static_cast<std::size_t>(count) * static_cast<std::size_t>(size);
}

void finish(MPI_Request request) {
  const auto found = under_way().find(request);
  if (found == under_way().end()) return;
  const Message& message = found->second;
  if (message.to != nullptr) {
    emulation::with_device_memory(
        [&] { std::memcpy(message.to, message.bytes.data(), message.bytes.size()); });
  }
  under_way().erase(found);
}

}  // namespace

extern "C" {

int MPIX_Query_cuda_support();
int MPIX_Query_cuda_support() { return asked_for().empty() ? 0 : 1; }

int MPI_Isend(const void* from,
              int count,
              MPI_Datatype type,
              int to,
              int tag,
              MPI_Comm communicator,
              MPI_Request* request) {
  if (!emulation::on_device(from))
    return PMPI_Isend(from, count, type, to, tag, communicator, request);
  Message message{std::vector<char>(bytes_of(count, type)), nullptr};
  emulation::with_device_memory(
      [&] { std::memcpy(message.bytes.data(), from, message.bytes.size()); });
  if (asked_for() == "wrong" && !message.bytes.empty()) message.bytes.back() ^= 1;
  const int code = PMPI_Isend(message.bytes.data(), count, type, to, tag, communicator, request);
  if (code == MPI_SUCCESS) under_way()[*request] = std::move(message);
  return code;
}

int MPI_Irecv(void* to,
              int count,
              MPI_Datatype type,
              int from,
              int tag,
              MPI_Comm communicator,
              MPI_Request* request) {
  if (!emulation::on_device(to))
    return PMPI_Irecv(to, count, type, from, tag, communicator, request);
  Message message{std::vector<char>(bytes_of(count, type)), to};
  const int code = PMPI_Irecv(message.bytes.data(), count, type, from, tag, communicator, request);
  if (code == MPI_SUCCESS) under_way()[*request] = std::move(message);
  return code;
}

int MPI_Testall(int count, MPI_Request* requests, int* all, MPI_Status* statuses) {
  const std::vector<MPI_Request> before(requests, requests + count);
  const int code = PMPI_Testall(count, requests, all, statuses);
  if (code == MPI_SUCCESS && *all != 0) {
    for (const MPI_Request request : before) finish(request);
  }
  return code;
}

}  // extern "C"
