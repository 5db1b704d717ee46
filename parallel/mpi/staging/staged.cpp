#include "parallel/mpi/staging/staged.hpp"

#include <algorithm>
#include <utility>

namespace lockstep::mpi {
namespace {

// One is copied out, one travels, one is copied in.
constexpr std::size_t most_in_flight = 3;

std::byte* address(const Tensor& flat, index_t first) {
  return static_cast<std::byte*>(const_cast<void*>(flat.raw())) +
         static_cast<std::size_t>(first) * size_of(flat.dtype());
}

}  // namespace

std::vector<StagedChunk> cut_range(index_t n, index_t most, bool out, bool in) {
  std::vector<StagedChunk> chunks;
  for (index_t first = 0; first < n; first += most) {
    const StagedPiece piece{first, 0, std::min(most, n - first)};
    StagedChunk& chunk = chunks.emplace_back();
    chunk.host_elements = piece.count;
    if (out) chunk.out.push_back(piece);
    if (in) chunk.in.push_back(piece);
  }
  return chunks;
}

std::vector<StagedChunk> cut_spans(index_t n,
                                   int size,
                                   index_t most,
                                   const std::function<bool(int rank)>& out,
                                   const std::function<bool(int rank)>& in) {
  const index_t longest = (n + size - 1) / size;  // of the ranks' spans
  const index_t step = std::max<index_t>(1, most / size);
  std::vector<StagedChunk> chunks;
  for (index_t begin = 0; begin < longest; begin += step) {
    const index_t block = std::min(step, longest - begin);
    StagedChunk& chunk = chunks.emplace_back();
    chunk.host_elements = block * size;
    for (int rank = 0; rank < size; ++rank) {
      const Span span = span_of(n, rank, size);
      const StagedPiece piece{span.first + begin, rank * block,
                              std::clamp<index_t>(span.count - begin, 0, block)};
      if (piece.count == 0) continue;
      if (out(rank)) chunk.out.push_back(piece);
      if (in(rank)) chunk.in.push_back(piece);
    }
  }
  return chunks;
}

Staged::Staged(Tensor from,
               Tensor to,
               std::vector<StagedChunk> chunks,
               Travel travel,
               Turns* turns,
               CopyTicket after)
    : from_(std::move(from)),
      to_(std::move(to)),
      device_(from_.defined() ? from_.device() : to_.device()),
      chunks_(std::move(chunks)),
      travel_(std::move(travel)),
      turns_(turns),
      after_(after),
      number_(turns == nullptr ? 0 : turns->take()) {
  if (turns_ != nullptr && chunks_.empty()) chunks_.emplace_back();  // takes its turn all the same
}

void Staged::start_chunk() {
  const std::size_t index = next_start_++;
  const StagedChunk& chunk = chunks_[index];
  const DType dtype = from_.defined() ? from_.dtype() : to_.dtype();
  InFlight& started = in_flight_.emplace_back(InFlight{
      index, Phase::leaving, Tensor::staging({chunk.host_elements}, dtype, device_), {}, nullptr});
  for (const StagedPiece& piece : chunk.out) {
    started.copies.push_back(start_copy_out(
        device_, address(started.host, piece.host_first), address(from_, piece.device_first),
        static_cast<std::size_t>(piece.count) * size_of(dtype), after_));
  }
}

bool Staged::copies_done(InFlight& chunk) {
  std::erase_if(chunk.copies, [&](CopyTicket ticket) { return done(device_, ticket); });
  return chunk.copies.empty();
}

bool Staged::advance_chunk(InFlight& chunk) {
  switch (chunk.phase) {
    case Phase::leaving: {
      const bool first_come = chunk.index == next_travel_;
      if (!first_come || (turns_ != nullptr && !turns_->has(number_))) return false;
      if (!copies_done(chunk)) return false;
      chunk.travel = travel_(chunk.index, chunk.host);
      chunk.travel->advance();  // posts its messages
      ++next_travel_;
      if (turns_ != nullptr && next_travel_ == chunks_.size()) turns_->pass();
      chunk.phase = Phase::travelling;
      return true;
    }
    case Phase::travelling: {
      if (!chunk.travel->advance()) return false;
      const std::size_t size = size_of(chunk.host.dtype());
      for (const StagedPiece& piece : chunks_[chunk.index].in) {
        chunk.copies.push_back(start_copy_in(device_, address(to_, piece.device_first),
                                             address(chunk.host, piece.host_first),
                                             static_cast<std::size_t>(piece.count) * size, after_));
      }
      chunk.phase = Phase::arriving;
      return true;
    }
    case Phase::arriving:
      if (!copies_done(chunk)) return false;
      chunk.phase = Phase::done;
      return true;
    case Phase::done:
      return false;
  }
  return false;
}

bool Staged::advance() {
  for (bool moved = true; moved;) {
    moved = false;
    while (in_flight_.size() < most_in_flight && next_start_ < chunks_.size()) start_chunk();
    for (InFlight& chunk : in_flight_) moved = advance_chunk(chunk) || moved;
    std::erase_if(in_flight_, [](const InFlight& chunk) { return chunk.phase == Phase::done; });
  }
  return in_flight_.empty() && next_start_ == chunks_.size();
}

}  // namespace lockstep::mpi
