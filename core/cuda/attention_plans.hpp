// Attention in bf16 by cuDNN: which shapes it takes, and running them. Plans (an engine, its
// settings and its kernels) are made at the first use of a shape, which takes up to seconds, and
// kept.
#pragma once

#include <compare>
#include <memory>
#include <string>

#include "core/dtype.hpp"

namespace lockstep::cuda {

class Runtime;

// What a plan depends on. B samples of T rows, NH heads of HS elements.
struct AttentionShape {
  bool backward = false;
  index_t B = 0, T = 0, NH = 0, HS = 0;
  index_t row_stride = 0;  // elements between rows of q, k, v and of dq, dk, dv
  bool causal = false;
  bool lengths = false;        // samples end before T
  bool dropout = false;        // the probabilities are multiplied by a mask and a factor
  bool deterministic = false;  // backward: sums in one order, with B NH T T 2 bytes of workspace

  auto operator<=>(const AttentionShape&) const = default;
};

// Device memory, 16-byte aligned. bf16 but for what says otherwise: q, k, v, dq, dk, dv rows of
// row_stride, y and dy rows of NH HS. What a shape does not have is null.
struct AttentionBuffers {
  const void *q = nullptr, *k = nullptr, *v = nullptr;
  void* y = nullptr;                      // backward reads it
  float* lse = nullptr;                   // (B, NH, T), backward reads it
  const std::int32_t* lengths = nullptr;  // (B), from 1 to T
  const void* mask = nullptr;             // (B, NH, T, mask_stride(T)) 1 or 0
  const void* dy = nullptr;
  void *dq = nullptr, *dk = nullptr, *dv = nullptr;
  double scale = 1, dropout = 0;  // of q k^T; the share of the probabilities that is dropped
};

// Rows of the mask start at 16 bytes.
constexpr index_t mask_stride(index_t T) { return (T + 7) / 8 * 8; }

std::string cudnn_found();  // "9.19.0", or why cuDNN is not to be had

class AttentionPlans {
 public:
  AttentionPlans();
  ~AttentionPlans();
  AttentionPlans(const AttentionPlans&) = delete;
  AttentionPlans& operator=(const AttentionPlans&) = delete;

  // Why cuDNN does not compute this; empty when it does.
  std::string why_not(Runtime& runtime, const AttentionShape& shape);
  // Of what is as large as the scores (the dropout's mask; dS, kept for sums in one order) callers
  // give it this much at once, or one sample's. Tests set less.
  index_t wished_score_bytes() const { return wished_score_bytes_; }
  void set_wished_score_bytes(index_t bytes) { wished_score_bytes_ = bytes; }
  // Of the device, while run() runs, beside the buffers.
  index_t scratch_bytes(Runtime& runtime, const AttentionShape& shape);
  // y and lse of rows past their sample's length, and all gradients there, are undefined.
  void run(Runtime& runtime, const AttentionShape& shape, const AttentionBuffers& buffers);

 private:
  struct State;
  std::unique_ptr<State> state_;
  index_t wished_score_bytes_ = index_t{256} << 20;
};

}  // namespace lockstep::cuda
