#include "parallel/mpi/transfers.hpp"

#include <algorithm>
#include <cstddef>

#include "parallel/mpi/check.hpp"
#include "parallel/mpi/types.hpp"

namespace lockstep::mpi {
namespace {

std::byte* address(Tensor& flat, index_t first) {
  return static_cast<std::byte*>(flat.raw()) +
         static_cast<std::size_t>(first) * size_of(flat.dtype());
}

const std::byte* address(const Tensor& flat, index_t first) {
  return static_cast<const std::byte*>(flat.raw()) +
         static_cast<std::size_t>(first) * size_of(flat.dtype());
}

}  // namespace

template <typename Post>
void Transfers::post_each(Span part, const Post& post) {
  for (index_t done = 0; done < part.count; done += message_elements_) {
    const index_t count = std::min(message_elements_, part.count - done);
    requests_.push_back(MPI_REQUEST_NULL);
    check(post(part.first + done, static_cast<int>(count), &requests_.back()));
  }
}

void Transfers::send(const Tensor& flat, Span part, int to, int tag) {
  const MPI_Datatype type = type_of(flat.dtype());
  post_each(part, [&](index_t first, int count, MPI_Request* request) {
    return MPI_Isend(address(flat, first), count, type, to, tag, communicator_, request);
  });
}

void Transfers::receive(Tensor& flat, Span part, int from, int tag) {
  const MPI_Datatype type = type_of(flat.dtype());
  post_each(part, [&](index_t first, int count, MPI_Request* request) {
    return MPI_Irecv(address(flat, first), count, type, from, tag, communicator_, request);
  });
}

void Transfers::broadcast(Tensor& flat, int root) {
  const MPI_Datatype type = type_of(flat.dtype());
  post_each({0, flat.count()}, [&](index_t first, int count, MPI_Request* request) {
    return MPI_Ibcast(address(flat, first), count, type, root, communicator_, request);
  });
}

void Transfers::barrier() {
  requests_.push_back(MPI_REQUEST_NULL);
  check(MPI_Ibarrier(communicator_, &requests_.back()));
}

bool Transfers::done() {
  if (requests_.empty()) return true;
  int all = 0;
  check(
      MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &all, MPI_STATUSES_IGNORE));
  if (all != 0) requests_.clear();
  return all != 0;
}

}  // namespace lockstep::mpi
