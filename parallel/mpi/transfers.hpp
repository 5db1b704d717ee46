// Point-to-point messages and MPI requests that are waited for together. The one place where counts
// are cut to fit an int.
#pragma once

#include <vector>

#include <mpi.h>

#include "core/group.hpp"

namespace lockstep::mpi {

class Transfers {
 public:
  // message_elements: longest message; the same on both ends.
  Transfers(MPI_Comm communicator, index_t message_elements)
      : communicator_(communicator), message_elements_(message_elements) {}

  // Elements `part` of a flat tensor. Nothing is posted for an empty part, so both ends must know
  // its size.
  void send(const Tensor& flat, Span part, int to, int tag);
  void receive(Tensor& flat, Span part, int from, int tag);
  void broadcast(Tensor& flat, int root);
  void barrier();
  bool done();  // true when all that was posted has finished

 private:
  // post(element offset from the start of flat, elements, request) for each message of a part
  template <typename Post>
  void post_each(Span part, const Post& post);

  MPI_Comm communicator_;
  index_t message_elements_;
  std::vector<MPI_Request> requests_;
};

}  // namespace lockstep::mpi
