// A Group that notes when each operation began, when somebody waited for it, and when it was over.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/group.hpp"

namespace lockstep {

// Times in seconds of std::chrono::steady_clock.
struct CommunicationEvent {
  const char* operation = "";
  std::string axis;
  const char* what = "";
  index_t bytes = 0;  // of this rank's tensor
  double begin = 0, waited = 0, end = 0;
};

class CommunicationLog {
 public:
  void add(CommunicationEvent event) { events_.push_back(std::move(event)); }
  std::vector<CommunicationEvent> take() { return std::exchange(events_, {}); }

 private:
  std::vector<CommunicationEvent> events_;  // in the order they ended
};

class TracedGroup final : public Group {
 public:
  // The log must outlive the group and its Pendings.
  TracedGroup(std::unique_ptr<Group> group, std::string axis, CommunicationLog& log)
      : group_(std::move(group)), axis_(std::move(axis)), log_(&log) {}

  int rank() const override { return group_->rank(); }
  int size() const override { return group_->size(); }
  Pending start_all_reduce(Tensor x, Reduce reduce, const char* what, CopyTicket after) override;
  Pending start_reduce_scatter(Tensor x, const char* what, Window of, CopyTicket after) override;
  Pending start_all_gather(Tensor x, const char* what) override;
  Pending start_all_to_all(Tensor to, Tensor from, const char* what) override;
  Pending start_send(Tensor x, int to, int tag, const char* what) override;
  Pending start_receive(Tensor x, int from, int tag, const char* what) override;
  void broadcast(Tensor x, int root, const char* what) override;
  void barrier() override;

 private:
  CommunicationEvent event(const char* operation, const char* what, std::size_t bytes) const;
  Pending noted(CommunicationEvent event, Pending pending);

  std::unique_ptr<Group> group_;
  std::string axis_;
  CommunicationLog* log_;
};

}  // namespace lockstep
