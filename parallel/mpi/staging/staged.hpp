// A message or collective over a GPU's memory by way of the CPU's: cut into chunks, of which a few
// are under way at once, so that one travels while the next is copied out and the last is copied
// in. Copies run beside the ops (core/device.hpp); the host never waits for the GPU, it looks
// whether a copy is done whenever an operation of the process is waited for.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "parallel/mpi/progress.hpp"
#include "parallel/mpi/staging/turns.hpp"

namespace lockstep::mpi {

// `count` elements at device_first of the GPU's tensor and at host_first of a chunk.
struct StagedPiece {
  index_t device_first = 0, host_first = 0, count = 0;
};

struct StagedChunk {
  index_t host_elements = 0;
  std::vector<StagedPiece> out, in;  // copied before it travels, and after
};

// n elements in order, in chunks of at most `most`.
std::vector<StagedChunk> cut_range(index_t n, index_t most, bool out, bool in);
// span_of(n, r, size) of all ranks r side by side, in chunks of size equal blocks, so that block r
// of a chunk is span_of(chunk, r, size). The last element of a block may stand for none. out, in:
// which ranks' blocks are copied.
std::vector<StagedChunk> cut_spans(index_t n,
                                   int size,
                                   index_t most,
                                   const std::function<bool(int rank)>& out,
                                   const std::function<bool(int rank)>& in);

class Staged final : public Operation {
 public:
  // The chunk's part of the operation, over a tensor of the CPU that lives as long as it does.
  using Travel = std::function<std::unique_ptr<Operation>(std::size_t chunk, Tensor host)>;

  // from, to: flat, on one GPU (or the CPU); either may be undefined where no chunk copies from or
  // to it. turns may be null; else it must outlive this. after: as of start_copy_out.
  Staged(Tensor from,
         Tensor to,
         std::vector<StagedChunk> chunks,
         Travel travel,
         Turns* turns,
         CopyTicket after = 0);
  bool advance() override;

 private:
  enum class Phase { leaving, travelling, arriving, done };
  struct InFlight {
    std::size_t index;
    Phase phase;
    Tensor host;
    std::vector<CopyTicket> copies;
    std::unique_ptr<Operation> travel;
  };

  void start_chunk();
  bool advance_chunk(InFlight& chunk);  // true when its phase changed
  bool copies_done(InFlight& chunk);

  Tensor from_, to_;
  Device device_;
  std::vector<StagedChunk> chunks_;
  Travel travel_;
  Turns* turns_;
  CopyTicket after_;
  std::uint64_t number_ = 0;
  std::size_t next_start_ = 0, next_travel_ = 0;
  std::vector<InFlight> in_flight_;
};

}  // namespace lockstep::mpi
