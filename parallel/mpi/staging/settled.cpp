#include "parallel/mpi/staging/settled.hpp"

#include <utility>

namespace lockstep::mpi {

Settled::Settled(Device device, Post post, Turns* turns)
    : device_(device),
      post_(std::move(post)),
      turns_(turns),
      number_(turns == nullptr ? 0 : turns->take()),
      ops_(start_waiting(device)) {}

bool Settled::advance() {
  if (posted_ == nullptr) {
    if (turns_ != nullptr && !turns_->has(number_)) return false;
    if (!done(device_, ops_)) return false;
    posted_ = post_();
    if (turns_ != nullptr) turns_->pass();
  }
  return posted_->advance();
}

}  // namespace lockstep::mpi
