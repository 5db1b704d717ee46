#include "parallel/mpi/communicator.hpp"

#include <cstdio>
#include <exception>
#include <numeric>
#include <utility>

#include "parallel/mpi/check.hpp"

namespace lockstep::mpi {

Communicator Communicator::split(MPI_Comm parent, int color, int key) {
  MPI_Comm handle = MPI_COMM_NULL;
  check(MPI_Comm_split(parent, color < 0 ? MPI_UNDEFINED : color, key, &handle));
  return Communicator(handle);
}

Communicator Communicator::duplicate(MPI_Comm parent) {
  MPI_Comm handle = MPI_COMM_NULL;
  check(MPI_Comm_dup(parent, &handle));
  return Communicator(handle);
}

Communicator Communicator::of_node(MPI_Comm parent) {
  MPI_Comm handle = MPI_COMM_NULL;
  check(MPI_Comm_split_type(parent, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &handle));
  return Communicator(handle);
}

Communicator::Communicator(MPI_Comm handle) : handle_(handle) {
  if (!empty()) check(MPI_Comm_set_errhandler(handle_, MPI_ERRORS_RETURN));
}

Communicator::Communicator(Communicator&& other) noexcept
    : handle_(std::exchange(other.handle_, MPI_COMM_NULL)) {}

Communicator::~Communicator() {
  if (!empty() && MPI_Comm_free(&handle_) != MPI_SUCCESS) {
    std::fputs("lockstep: error: a communicator could not be freed\n", stderr);
    std::terminate();
  }
}

int Communicator::rank() const {
  int rank = 0;
  check(MPI_Comm_rank(handle_, &rank));
  return rank;
}

int Communicator::size() const {
  int size = 0;
  check(MPI_Comm_size(handle_, &size));
  return size;
}

std::vector<int> Communicator::world_ranks() const {
  std::vector<int> own(static_cast<std::size_t>(size())), world(own.size());
  std::iota(own.begin(), own.end(), 0);
  MPI_Group members = MPI_GROUP_NULL, all = MPI_GROUP_NULL;
  check(MPI_Comm_group(handle_, &members));
  check(MPI_Comm_group(MPI_COMM_WORLD, &all));
  check(MPI_Group_translate_ranks(members, size(), own.data(), all, world.data()));
  check(MPI_Group_free(&members));
  check(MPI_Group_free(&all));
  return world;
}

}  // namespace lockstep::mpi
