// Operations that must post their messages in the order they were started: those with one peer
// under one tag.
#pragma once

#include <cstdint>

namespace lockstep::mpi {

class Turns {
 public:
  std::uint64_t take() { return next_++; }
  bool has(std::uint64_t number) const { return number == now_; }
  void pass() { ++now_; }

 private:
  std::uint64_t next_ = 0, now_ = 0;
};

}  // namespace lockstep::mpi
