// Messages out of and into a GPU's memory that MPI reads and writes itself. MPI knows nothing of
// streams, so they are posted when the ops asked for before them are done: what is sent is there by
// then, and nobody still uses what is overwritten.
#pragma once

#include <functional>
#include <memory>

#include "core/device.hpp"
#include "parallel/mpi/progress.hpp"
#include "parallel/mpi/staging/turns.hpp"

namespace lockstep::mpi {

class Settled final : public Operation {
 public:
  using Post = std::function<std::unique_ptr<Operation>()>;

  // turns may be null; else it must outlive this.
  Settled(Device device, Post post, Turns* turns);
  bool advance() override;

 private:
  Device device_;
  Post post_;
  Turns* turns_;
  std::uint64_t number_;
  CopyTicket ops_;
  std::unique_ptr<Operation> posted_;
};

}  // namespace lockstep::mpi
