#include "core/nn/head_exchange.hpp"

#include <cassert>

namespace lockstep {
namespace {

constexpr char what[] = "attention";

// Rows for heads and back. A matrix of `parts` equal parts side by side (q, k and v) has of each
// its columns of a rank's heads in that rank's block.
class Exchange {
 public:
  Exchange(const AttentionSpec& spec, SequenceCut cut, Group& cp)
      : cp_(cp),
        B_(spec.B),
        T_(spec.T_q),
        size_(cut.size),
        cut_(cut),
        own_width_(spec.heads / cut.size * spec.head_size) {
    assert(spec.heads % cut.size == 0 && cut.size == cp.size());
  }

  // (N, parts A) -> (B T size, parts A / size), samples after samples.
  Tensor to_heads(const Tensor& x) const {
    const index_t N = B_ * T_, parts = x.columns() / (own_width_ * size_);
    Tensor to = blocks_of(x, parts), from = blocks_of(x, parts);
    for (int rank = 0; rank < size_; ++rank) {
      Tensor block = from.range(rank * N, N);
      for (index_t part = 0; part < parts; ++part) {
        block.column_range(part * own_width_, own_width_)
            .copy_from(x.column_range((part * size_ + rank) * own_width_, own_width_));
      }
    }
    cp_.all_to_all(to, from, what);
    Tensor whole = Tensor::empty(to.shape(), to.dtype(), to.device());
    for_runs([&](index_t there, index_t here, index_t rows) {
      whole.range(there, rows).copy_from(to.range(here, rows));
    });
    return whole;
  }

  // The reverse.
  Tensor to_rows(const Tensor& whole) const {
    const index_t N = B_ * T_, parts = whole.columns() / own_width_;
    Tensor from = Tensor::empty(whole.shape(), whole.dtype(), whole.device());
    Tensor to = Tensor::empty(whole.shape(), whole.dtype(), whole.device());
    for_runs([&](index_t there, index_t here, index_t rows) {
      from.range(here, rows).copy_from(whole.range(there, rows));
    });
    cp_.all_to_all(to, from, what);
    Tensor x = Tensor::empty({N, whole.columns() * size_}, whole.dtype(), whole.device());
    for (int rank = 0; rank < size_; ++rank) {
      const Tensor block = to.range(rank * N, N);
      for (index_t part = 0; part < parts; ++part) {
        x.column_range((part * size_ + rank) * own_width_, own_width_)
            .copy_from(block.column_range(part * own_width_, own_width_));
      }
    }
    return x;
  }

  AttentionSpec whole_spec(AttentionSpec spec) const {
    spec.T_q = spec.T_k = T_ * size_;
    spec.heads /= size_;
    spec.kv_heads = spec.heads;
    spec.first_head += cut_.rank * spec.heads;
    return spec;
  }
  Tensor part(const Tensor& qkv, index_t number) const {
    return qkv.column_range(number * own_width_, own_width_);
  }

 private:
  Tensor blocks_of(const Tensor& x, index_t parts) const {
    return Tensor::empty({size_ * x.rows(), parts * own_width_}, x.dtype(), x.device());
  }

  // f(row of whole samples, row of the ranks' blocks, adjacent rows) for each chunk of each sample.
  template <typename F>
  void for_runs(F f) const {
    const index_t S = cut_.chunk_length(T_), N = B_ * T_;
    for (int rank = 0; rank < size_; ++rank) {
      const SequenceCut cut{rank, size_};
      for (int chunk = 0; chunk < cut.num_chunks(); ++chunk) {
        for (index_t b = 0; b < B_; ++b) {
          f(b * T_ * size_ + cut.first_position(chunk, T_), rank * N + (chunk * B_ + b) * S, S);
        }
      }
    }
  }

  Group& cp_;
  index_t B_, T_;  // T of this rank
  int size_;
  SequenceCut cut_;
  index_t own_width_;  // columns of a rank's heads
};

}  // namespace

Tensor exchanged_attention_forward(Tensor& y_heads,
                                   Tensor& lse,
                                   const Tensor& qkv,
                                   const AttentionSpec& spec,
                                   SequenceCut cut,
                                   Group& cp) {
  const Exchange exchange(spec, cut, cp);
  const AttentionSpec whole = exchange.whole_spec(spec);
  const Tensor own = exchange.to_heads(qkv);
  y_heads = Tensor::empty({own.rows(), own.columns() / 3}, qkv.dtype(), qkv.device());
  lse = Tensor::empty({whole.B, whole.heads, whole.T_q}, qkv.dtype(), qkv.device());
  attention_forward(y_heads, lse, exchange.part(own, 0), exchange.part(own, 1),
                    exchange.part(own, 2), whole);
  return exchange.to_rows(y_heads);
}

Tensor exchanged_attention_backward(const Tensor& dy,
                                    const Tensor& qkv,
                                    const Tensor& y_heads,
                                    const Tensor& lse,
                                    const AttentionSpec& spec,
                                    SequenceCut cut,
                                    Group& cp) {
  const Exchange exchange(spec, cut, cp);
  const Tensor own = exchange.to_heads(qkv);
  Tensor dqkv = Tensor::empty(own.shape(), own.dtype(), own.device());
  Tensor dq = exchange.part(dqkv, 0), dk = exchange.part(dqkv, 1), dv = exchange.part(dqkv, 2);
  attention_backward(dq, dk, dv, exchange.to_heads(dy), exchange.part(own, 0),
                     exchange.part(own, 1), exchange.part(own, 2), y_heads, lse,
                     exchange.whole_spec(spec));
  return exchange.to_rows(dqkv);
}

}  // namespace lockstep
