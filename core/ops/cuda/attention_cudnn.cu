#include <algorithm>

#include "core/cuda/attention_plans.hpp"
#include "core/error.hpp"
#include "core/ops/cuda/attention.hpp"
#include "core/ops/cuda/attention_cudnn.hpp"
#include "core/ops/cuda/attention_dropout.cuh"
#include "core/ops/cuda/bf16.hpp"
#include "core/ops/cuda/map.cuh"

namespace lockstep::cuda {
namespace {

// Of what is as large as the scores of one sample.
constexpr index_t most_score_bytes = index_t{4} << 30;

index_t score_bytes_of_sample(const AttentionSpec& spec) {
  const index_t size = static_cast<index_t>(size_of(DType::bf16));
  return spec.heads * spec.T_q * mask_stride(spec.T_q) * size;
}

bool keeps_scores(const AttentionSpec& spec, bool backward) {
  return spec.dropout > 0 || (backward && spec.kernels == AttentionKernels::deterministic);
}

// Samples of one execution; it divides B. Each group's lse starts at 16 bytes, or all are one.
index_t group_size(const AttentionSpec& spec, bool backward, Runtime& runtime) {
  if (!keeps_scores(spec, backward) || spec.heads * spec.T_q % 4 != 0) return spec.B;
  const index_t most =
      std::max<index_t>(runtime.attentions().wished_score_bytes() / score_bytes_of_sample(spec), 1);
  index_t size = std::min(most, spec.B);
  while (spec.B % size != 0) --size;
  return size;
}

// q | k | v, and their gradients, lie side by side in one matrix of bf16.
AttentionShape shape_of(const AttentionSpec& spec, bool backward, Runtime& runtime) {
  return {.backward = backward,
          .B = group_size(spec, backward, runtime),
          .T = spec.T_q,
          .NH = spec.heads,
          .HS = spec.head_size,
          .row_stride = 3 * spec.heads * spec.head_size,
          .causal = spec.mask == Mask::causal,
          .lengths = spec.lengths.defined(),
          .dropout = ProbabilityDropout(spec).drops(),
          .deterministic = backward && spec.kernels == AttentionKernels::deterministic};
}

// 1 where the probability of (sample, head, i, j) is kept, else 0; a row holds keys.
struct FillMask {
  RowsOf<Bf16> mask;
  ProbabilityDropout dropout;
  index_t first_sample, heads, T;
  bool causal;

  __device__ void operator()(index_t row, index_t column) const {
    constexpr std::uint16_t one = 0x3f80;
    const index_t i = row % T, head = row / T % heads, sample = first_sample + row / T / heads;
    Pack<Bf16, 4> pack{};
    if (!causal || column <= i) {  // the future is masked anyway
      const PhiloxCounter words = dropout.words(sample, head, i, column / 4);
      for (unsigned w = 0; w < 4; ++w) pack.at[w].bits = dropout.keeps(words[w]) ? one : 0;
    }
    store<Bf16, 4>(mask[row] + column, pack);
  }
};

// Rows of T to a sample, or to each head of one; those past the sample's length become 0.
struct ClearPadding {
  RowsOf<float> x;
  const std::int32_t* lengths;
  index_t T, rows_per_sample;

  __device__ void operator()(index_t row, index_t column) const {
    if (row % T >= lengths[row / rows_per_sample]) x[row][column] = 0;
  }
};

// Group after group, each from 16 bytes on. An engine need not know of samples without rows.
struct PlaceLengths {
  std::int32_t* to;
  const std::int32_t* lengths;
  index_t group, group_stride;

  __device__ void operator()(index_t, index_t sample) const {
    const std::int32_t length = lengths[sample];
    to[sample / group * group_stride + sample % group] = length < 1 ? 1 : length;
  }
};

class Call {
 public:
  Call(const AttentionSpec& spec, Device device, bool backward)
      : spec_(spec),
        runtime_(Runtime::of(device)),
        shape_(shape_of(spec, backward, runtime_)),
        width_(spec.heads * spec.head_size) {
    if (shape_.dropout) {
      mask_ = Tensor::empty({shape_.B * shape_.NH * shape_.T, mask_stride(shape_.T)}, DType::bf16,
                            device);
    }
    if (!shape_.lengths) return;
    lengths_ = Tensor::empty({spec.B / shape_.B * length_stride()}, DType::i32, device);
    map(runtime_, Walk{1, spec.B}, 1,
        PlaceLengths{lengths_.data<std::int32_t>(), spec.lengths.data<std::int32_t>(), shape_.B,
                     length_stride()});
  }

  Tensor matrix(index_t parts) const {
    return Tensor::empty({spec_.B * spec_.T_q, parts * width_}, DType::bf16, runtime_.device());
  }
  Tensor rounded(const Tensor& x) const {
    Tensor to = matrix(1);
    cuda::round_to_bf16(to, x.as_matrix());
    return to;
  }
  Tensor rounded(const Tensor& q, const Tensor& k, const Tensor& v) const {
    Tensor qkv = matrix(3);
    index_t first = 0;
    for (const Tensor* x : {&q, &k, &v}) {
      Tensor part = qkv.column_range(first, width_);
      cuda::round_to_bf16(part, x->as_matrix());
      first += width_;
    }
    return qkv;
  }
  // Part `number` of `from`'s columns; padding becomes 0.
  void widen(Tensor& to, const Tensor& from, index_t number) const {
    Tensor rows = to.as_matrix();
    cuda::widen_bf16(rows, from.column_range(number * width_, width_));
    if (spec_.lengths.defined()) clear_padding(rows_of<float>(rows), width_, shape_.T);
  }
  void clear_padding_of_lse(Tensor& lse) const {
    if (spec_.lengths.defined()) clear_padding({lse.data<float>(), 1}, 1, shape_.NH * shape_.T);
  }

  // y, dy and what dqkv points to may be null as in AttentionBuffers.
  void run(const Tensor& qkv, Tensor& y, Tensor& lse, const Tensor* dy, Tensor* dqkv) const {
    for (index_t first = 0; first < spec_.B; first += shape_.B) {
      const index_t row = first * shape_.T;
      AttentionBuffers buffers;
      buffers.q = at(qkv, row, 0);
      buffers.k = at(qkv, row, 1);
      buffers.v = at(qkv, row, 2);
      buffers.y = at(y, row, 0);
      buffers.lse = lse.data<float>() + row * shape_.NH;
      buffers.scale = spec_.scale;
      if (shape_.lengths)
        buffers.lengths = lengths_.data<std::int32_t>() + first / shape_.B * length_stride();
      if (shape_.dropout) {
        fill_mask(first);
        buffers.mask = mask_.raw();
        buffers.dropout = spec_.dropout;
      }
      if (shape_.backward) {
        buffers.dy = at(*dy, row, 0);
        buffers.dq = at(*dqkv, row, 0);
        buffers.dk = at(*dqkv, row, 1);
        buffers.dv = at(*dqkv, row, 2);
      }
      runtime_.attentions().run(runtime_, shape_, buffers);
    }
  }

 private:
  index_t length_stride() const { return (shape_.B + 3) / 4 * 4; }
  Bf16* at(const Tensor& x, index_t row, index_t part) const {
    Tensor same = x;
    return same.data<Bf16>() + row * x.row_stride() + part * width_;
  }
  void fill_mask(index_t first_sample) const {
    Tensor mask = mask_;
    map(runtime_, Walk{mask.rows(), mask.columns()}, 4,
        FillMask{rows_of<Bf16>(mask), ProbabilityDropout(spec_), first_sample, shape_.NH, shape_.T,
                 shape_.causal});
  }
  void clear_padding(RowsOf<float> x, index_t columns, index_t rows_per_sample) const {
    map(runtime_, Walk{spec_.B * rows_per_sample, columns}, 1,
        ClearPadding{x, spec_.lengths.data<std::int32_t>(), shape_.T, rows_per_sample});
  }

  const AttentionSpec& spec_;
  Runtime& runtime_;
  AttentionShape shape_;
  index_t width_;
  Tensor mask_, lengths_;  // of one group; of all, group by group
};

}  // namespace

std::string why_plain_attention(Device device, const AttentionSpec& spec) {
  if (spec.kernels == AttentionKernels::plain) return "it was asked for";
  if (spec.B == 0 || spec.T_q == 0 || spec.heads == 0) return "there is nothing to compute";
  // One head of one position in one sample: cuDNN 9.26 dies of it.
  if (spec.T_q == 1) return "cuDNN takes sequences from two positions on";
  if (spec.T_q != spec.T_k || spec.first_query != 0 || spec.first_key != 0)
    return "queries and keys are parts of sequences";
  if (spec.head_size % 8 != 0 || spec.head_size > 256)
    return build_string("cuDNN takes heads of 8, 16, ... 256 elements, not ", spec.head_size);
  const index_t bytes = score_bytes_of_sample(spec);
  if (keeps_scores(spec, true) && bytes > most_score_bytes)
    return build_string("cuDNN would need ", bytes, " bytes for the scores of one sample");
  Runtime& runtime = Runtime::of(device);
  for (const bool backward : {false, true}) {
    const std::string reason =
        runtime.attentions().why_not(runtime, shape_of(spec, backward, runtime));
    if (!reason.empty()) return reason;
  }
  return "";
}

bool uses_cudnn(const Tensor& q, const AttentionSpec& spec) {
  return spec.kernels != AttentionKernels::plain && q.dtype() == DType::f32 &&
         cuda::why_plain_attention(q.device(), spec).empty();
}

// Rounded q, k, v and y; backward also dy, dq, dk and dv; the mask; what the execution takes.
index_t cudnn_scratch_bytes(Device device, const AttentionSpec& spec, bool backward) {
  Runtime& runtime = Runtime::of(device);
  const AttentionShape shape = shape_of(spec, backward, runtime);
  const index_t matrix = spec.B * spec.T_q * spec.heads * spec.head_size;
  const index_t mask = shape.dropout ? shape.B * shape.NH * shape.T * mask_stride(shape.T) : 0;
  return ((backward ? 8 : 4) * matrix + mask) * static_cast<index_t>(size_of(DType::bf16)) +
         runtime.attentions().scratch_bytes(runtime, shape);
}

void cudnn_attention_forward(Tensor& y,
                             Tensor& lse,
                             const Tensor& q,
                             const Tensor& k,
                             const Tensor& v,
                             const AttentionSpec& spec) {
  const Call call(spec, q.device(), false);
  Tensor rounded_y = call.matrix(1);
  call.run(call.rounded(q, k, v), rounded_y, lse, nullptr, nullptr);
  call.widen(y, rounded_y, 0);
  call.clear_padding_of_lse(lse);
}

void cudnn_attention_backward(Tensor& dq,
                              Tensor& dk,
                              Tensor& dv,
                              const Tensor& dy,
                              const Tensor& q,
                              const Tensor& k,
                              const Tensor& v,
                              const Tensor& y,
                              const Tensor& lse,
                              const AttentionSpec& spec) {
  const Call call(spec, q.device(), true);
  const Tensor rounded_dy = call.rounded(dy);
  Tensor rounded_y = call.rounded(y), statistics = lse, dqkv = call.matrix(3);
  call.run(call.rounded(q, k, v), rounded_y, statistics, &rounded_dy, &dqkv);
  call.widen(dq, dqkv, 0);
  call.widen(dk, dqkv, 1);
  call.widen(dv, dqkv, 2);
}

}  // namespace lockstep::cuda
