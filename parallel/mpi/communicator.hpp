// Owns an MPI communicator whose errors are returned, never fatal inside MPI.
#pragma once

#include <vector>

#include <mpi.h>

namespace lockstep::mpi {

class Communicator {
 public:
  // Both collective over `parent`. A negative color takes part and gets an empty communicator.
  static Communicator split(MPI_Comm parent, int color, int key);
  static Communicator duplicate(MPI_Comm parent);
  // The ranks of `parent` that share this node's memory.
  static Communicator of_node(MPI_Comm parent);

  Communicator(Communicator&& other) noexcept;
  Communicator& operator=(Communicator&&) = delete;
  ~Communicator();

  bool empty() const { return handle_ == MPI_COMM_NULL; }
  MPI_Comm handle() const { return handle_; }
  int rank() const;
  int size() const;
  std::vector<int> world_ranks() const;  // of the members, in their order

 private:
  explicit Communicator(MPI_Comm handle);

  MPI_Comm handle_ = MPI_COMM_NULL;
};

}  // namespace lockstep::mpi
