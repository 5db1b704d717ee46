// A group whose sums and gathers of a GPU's tensors go by NCCL. All else is the inner group's:
// tensors of the CPU, maxima and minima (NCCL's drop a NaN), messages (NCCL's wait for each other
// in the order they were started in, which receives posted ahead do not keep).
#pragma once

#include <memory>
#include <string>

#include "core/group.hpp"
#include "core/nccl.hpp"
#include "parallel/mpi/traffic.hpp"

namespace lockstep::mpi {

class NcclGroup final : public Group {
 public:
  // traffic must outlive the group; axis as in MpiGroup. Connects at its first sum or gather.
  NcclGroup(std::unique_ptr<Group> group, std::string axis, Traffic& traffic);

  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }
  Group& inner() { return *group_; }

  Pending start_all_reduce(Tensor x, Reduce reduce, const char* what, CopyTicket after) override;
  Pending start_reduce_scatter(Tensor x, const char* what, Window of, CopyTicket after) override;
  Pending start_all_gather(Tensor x, const char* what) override;
  Pending start_all_to_all(Tensor to, Tensor from, const char* what) override;
  Pending start_send(Tensor x, int to, int tag, const char* what) override;
  Pending start_receive(Tensor x, int from, int tag, const char* what) override;
  void broadcast(Tensor x, int root, const char* what) override;
  void barrier() override { group_->barrier(); }

 private:
  NcclCommunicator& communicator(Device device);
  void count(const char* what, const char* operation, index_t elements, const Tensor& x);

  std::unique_ptr<Group> group_;
  std::string axis_;
  Traffic* traffic_;
  std::unique_ptr<NcclCommunicator> communicator_;
};

}  // namespace lockstep::mpi
