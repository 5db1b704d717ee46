// With whom: the ranks that work on one thing together. Collectives over tensors; a group of one is
// the identity. Sums are the same bits on every member. `what` names the purpose ("layer",
// "gradient", ...) for counters, traces and the watchdog; it must outlive the call (a literal).
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "core/tensor.hpp"

namespace lockstep {

enum class Reduce { sum, max, min };

// A started operation. Tensors it uses stay alive and must not be touched until wait() or
// destruction, which waits.
class Pending {
 public:
  Pending() = default;
  // over: whether finish() would return at once; may move the operation. Absent: not to be known.
  explicit Pending(std::function<void()> finish, std::function<bool()> over = nullptr)
      : finish_(std::move(finish)), over_(std::move(over)) {}
  Pending(Pending&& other) noexcept
      : finish_(std::exchange(other.finish_, nullptr)),
        over_(std::exchange(other.over_, nullptr)) {}
  Pending& operator=(Pending&& other) noexcept {
    if (this != &other) {
      wait();
      finish_ = std::exchange(other.finish_, nullptr);
      over_ = std::exchange(other.over_, nullptr);
    }
    return *this;
  }
  ~Pending() { wait(); }

  void wait() {
    if (auto finish = std::exchange(finish_, nullptr)) finish();
  }
  // Without waiting: moves what is under way, and is true once it is over.
  bool done() {
    if (finish_ != nullptr && over_ != nullptr && over_()) wait();
    return finish_ == nullptr;
  }

 private:
  std::function<void()> finish_;
  std::function<bool()> over_;
};

// The part of n elements that belongs to `rank` of `size`: [first, first + count). Parts differ by
// one element at most.
struct Span {
  index_t first = 0;
  index_t count = 0;
  bool operator==(const Span&) const = default;
};
constexpr Span span_of(index_t n, int rank, int size) {
  const index_t first = n * rank / size;
  return {first, n * (rank + 1) / size - first};
}

// A flat tensor as [first, first + its count) of `total` elements; total 0: as all of them.
struct Window {
  index_t first = 0;
  index_t total = 0;
};
// What of a window of n elements belongs to `rank`: span_of the total, counted from the window's
// first.
constexpr Span span_in(Window window, index_t n, int rank, int size) {
  const Span whole = span_of(window.total == 0 ? n : window.total, rank, size);
  const index_t first = std::clamp<index_t>(whole.first - window.first, 0, n);
  return {first, std::clamp<index_t>(whole.first + whole.count - window.first, 0, n) - first};
}

class Group {
 public:
  virtual ~Group() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // x becomes the sum (max, min) over all members. f32, f64, i32, i64. after: what this member
  // brings is there once this ticket of start_waiting is done, and later ops leave x alone; 0: once
  // all ops asked for so far are.
  [[nodiscard]] virtual Pending start_all_reduce(Tensor x,
                                                 Reduce reduce,
                                                 const char* what,
                                                 CopyTicket after = 0) = 0;
  // In place over a flat x of n elements: afterwards span_in(of, n, rank, size) of x holds the sum,
  // the rest is undefined. after: as for start_all_reduce.
  [[nodiscard]] virtual Pending start_reduce_scatter(Tensor x,
                                                     const char* what,
                                                     Window of = {},
                                                     CopyTicket after = 0) = 0;
  // In place over a flat x: each member brings its span_of(n, rank, size); afterwards x is whole on
  // all.
  [[nodiscard]] virtual Pending start_all_gather(Tensor x, const char* what) = 0;
  // to holds what every member sent here, from holds what goes to each: size() equal blocks in rank
  // order.
  [[nodiscard]] virtual Pending start_all_to_all(Tensor to, Tensor from, const char* what) = 0;
  // Point to point inside the group. Matching is by (peer, tag) in order.
  [[nodiscard]] virtual Pending start_send(Tensor x, int to, int tag, const char* what) = 0;
  [[nodiscard]] virtual Pending start_receive(Tensor x, int from, int tag, const char* what) = 0;
  virtual void broadcast(Tensor x, int root, const char* what) = 0;
  virtual void barrier() = 0;

  void all_reduce(Tensor x, Reduce reduce, const char* what) {
    start_all_reduce(std::move(x), reduce, what).wait();
  }
  void reduce_scatter(Tensor x, const char* what) {
    start_reduce_scatter(std::move(x), what).wait();
  }
  void all_gather(Tensor x, const char* what) { start_all_gather(std::move(x), what).wait(); }
  void all_to_all(Tensor to, Tensor from, const char* what) {
    start_all_to_all(std::move(to), std::move(from), what).wait();
  }
  void send(Tensor x, int to, int tag, const char* what) {
    start_send(std::move(x), to, tag, what).wait();
  }
  void receive(Tensor x, int from, int tag, const char* what) {
    start_receive(std::move(x), from, tag, what).wait();
  }
};

// text of `root` to all members. Collective.
void broadcast_text(Group& group, std::string& text, int root);

// One member: every collective is the identity; send and receive have no peer and are errors of
// ours.
class LocalGroup final : public Group {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  Pending start_all_reduce(Tensor x, Reduce reduce, const char* what, CopyTicket after) override;
  Pending start_reduce_scatter(Tensor x, const char* what, Window of, CopyTicket after) override;
  Pending start_all_gather(Tensor x, const char* what) override;
  Pending start_all_to_all(Tensor to, Tensor from, const char* what) override;
  Pending start_send(Tensor x, int to, int tag, const char* what) override;
  Pending start_receive(Tensor x, int from, int tag, const char* what) override;
  void broadcast(Tensor x, int root, const char* what) override;
  void barrier() override {}
};

}  // namespace lockstep
