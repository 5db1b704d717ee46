#include "parallel/mpi/nccl_group.hpp"

#include <algorithm>
#include <utility>

#include "parallel/mpi/operands.hpp"

namespace lockstep::mpi {
namespace {

bool on_gpu(const Tensor& x) { return x.device().kind == Device::Kind::cuda; }

}  // namespace

NcclGroup::NcclGroup(std::unique_ptr<Group> group, std::string axis, Traffic& traffic)
    : group_(std::move(group)), axis_(std::move(axis)), traffic_(&traffic) {}

// All members come here at the same of their collectives.
NcclCommunicator& NcclGroup::communicator(Device device) {
  if (communicator_ != nullptr) return *communicator_;
  NcclId id{};
  if (rank() == 0) id = make_nccl_id(device);
  Tensor bytes = Tensor::empty({static_cast<index_t>(id.size())}, DType::u8);
  std::copy(id.begin(), id.end(), bytes.data<std::uint8_t>());
  group_->broadcast(bytes, 0, "control");
  std::copy_n(bytes.data<std::uint8_t>(), id.size(), id.begin());
  communicator_ = connect_nccl(device, id, rank(), size());
  return *communicator_;
}

void NcclGroup::count(const char* what, const char* operation, index_t elements, const Tensor& x) {
  if (rank() == 0) traffic_->count(axis_, what, operation, elements, x.dtype());
}

Pending NcclGroup::start_all_reduce(Tensor x, Reduce reduce, const char* what, CopyTicket after) {
  if (!on_gpu(x) || reduce != Reduce::sum)
    return group_->start_all_reduce(std::move(x), reduce, what, after);
  require_sum(x, what);
  count(what, "all_reduce", 2 * (size() - 1) * x.count(), x);
  return communicator(x.device()).start_sum(flatten(x, what), after);
}

Pending NcclGroup::start_reduce_scatter(Tensor x, const char* what, Window of, CopyTicket after) {
  if (!on_gpu(x)) return group_->start_reduce_scatter(std::move(x), what, of, after);
  require_sum(x, what);
  count(what, "reduce_scatter", (size() - 1) * x.count(), x);
  return communicator(x.device()).start_sum_of_spans(flatten(x, what), of, after);
}

Pending NcclGroup::start_all_gather(Tensor x, const char* what) {
  if (!on_gpu(x)) return group_->start_all_gather(std::move(x), what);
  count(what, "all_gather", (size() - 1) * x.count(), x);
  return communicator(x.device()).start_gather(flatten(x, what));
}

Pending NcclGroup::start_all_to_all(Tensor to, Tensor from, const char* what) {
  return group_->start_all_to_all(std::move(to), std::move(from), what);
}

Pending NcclGroup::start_send(Tensor x, int to, int tag, const char* what) {
  return group_->start_send(std::move(x), to, tag, what);
}

Pending NcclGroup::start_receive(Tensor x, int from, int tag, const char* what) {
  return group_->start_receive(std::move(x), from, tag, what);
}

void NcclGroup::broadcast(Tensor x, int root, const char* what) {
  group_->broadcast(std::move(x), root, what);
}

}  // namespace lockstep::mpi
