// A dropout's rows as the kernels take them.
#pragma once

#include "core/ops/cpu/kernels.hpp"
#include "core/ops/dropout.hpp"

namespace lockstep::cpu {

class DropoutRows {
 public:
  explicit DropoutRows(const DropoutSpec& spec);

  bool none() const { return threshold_ >> 32 != 0; }  // nothing is dropped
  double factor() const { return factor_; }            // of what is kept
  DropoutRow row(index_t row) const;                   // some are

 private:
  const DropoutSpec& spec_;
  std::uint64_t threshold_;
  double factor_;
};

}  // namespace lockstep::cpu
