#include "core/nn/ring_attention.hpp"

#include <cassert>
#include <utility>
#include <vector>

#include "core/ops/attention_merge.hpp"
#include "core/ops/elementwise.hpp"

namespace lockstep {
namespace {

constexpr char what[] = "attention";
enum Tag { keys_tag, gradients_tag };

// The rows of one chunk, and the views of tensors that belong to them.
class Chunks {
 public:
  Chunks(const AttentionSpec& spec, SequenceCut cut)
      : spec_(spec), cut_(cut), S_(cut.chunk_length(spec.T_q)), A_(spec.heads * spec.head_size) {}

  index_t width() const { return A_; }
  int count() const { return cut_.num_chunks(); }
  Tensor rows(const Tensor& x, int i) const { return x.range(i * spec_.B * S_, spec_.B * S_); }
  Tensor lse(const Tensor& x, int i) const {
    const index_t n = spec_.B * spec_.heads * S_;
    return x.reshape({x.count()}).range(i * n, n);
  }
  // Chunk i of this rank's queries against chunk j of `source`'s keys; false when it sees none.
  bool pair(int i, SequenceCut source, int j, AttentionSpec& spec) const {
    const int own = cut_.chunk(i), other = source.chunk(j);
    if (spec_.mask == Mask::causal && other > own) return false;
    spec = spec_;
    spec.T_q = spec.T_k = S_;
    spec.first_query = cut_.first_position(i, spec_.T_q);
    spec.first_key = source.first_position(j, spec_.T_q);
    if (own != other) spec.mask = Mask::full;  // all earlier: nothing to hide
    return true;
  }

 private:
  const AttentionSpec& spec_;
  SequenceCut cut_;
  index_t S_, A_;
};

// A tensor that moves on by one rank, and the one that comes.
class Ring {
 public:
  Ring(Group& cp, Tag tag) : cp_(cp), tag_(tag) {}

  // Everybody sends to the next and receives from the one before.
  void start_receive(const Tensor& like) {
    incoming_ = Tensor::empty(like.shape(), like.dtype(), like.device());
    receiving_ = cp_.start_receive(incoming_, before(), tag_, what);
  }
  void start_send(const Tensor& x) { sending_.push_back(cp_.start_send(x, after(), tag_, what)); }
  Tensor received() {
    receiving_.wait();
    return std::exchange(incoming_, {});
  }

 private:
  int before() const { return (cp_.rank() + cp_.size() - 1) % cp_.size(); }
  int after() const { return (cp_.rank() + 1) % cp_.size(); }

  Group& cp_;
  Tag tag_;
  Tensor incoming_;
  Pending receiving_;
  std::vector<Pending> sending_;  // each keeps its tensor until the next rank has it
};

SequenceCut source_of(SequenceCut cut, int step) {
  return {(cut.rank - step + cut.size) % cut.size, cut.size};
}

}  // namespace

void ring_attention_forward(Tensor& y,
                            Tensor& lse,
                            const Tensor& qkv,
                            const AttentionSpec& spec,
                            SequenceCut cut,
                            Group& cp) {
  assert(cut.size == cp.size() && cut.rank == cp.rank());
  const Chunks chunks(spec, cut);
  const index_t A = chunks.width();
  if (cut.size == 1) {
    return attention_forward(y, lse, qkv.column_range(0, A), qkv.column_range(A, A),
                             qkv.column_range(2 * A, A), spec);
  }
  Tensor kv = qkv.column_range(A, 2 * A).clone();
  Tensor y_part = Tensor::empty(chunks.rows(y, 0).shape(), y.dtype(), y.device());
  Tensor lse_part = Tensor::empty(chunks.lse(lse, 0).shape(), y.dtype(), y.device());
  Ring ring(cp, keys_tag);
  for (int step = 0; step < cut.size; ++step) {
    const bool more = step + 1 < cut.size;
    if (more) ring.start_receive(kv);
    if (more) ring.start_send(kv);
    const SequenceCut source = source_of(cut, step);
    for (int i = 0; i < chunks.count(); ++i) {
      const Tensor q = chunks.rows(qkv, i).column_range(0, A);
      Tensor y_rows = chunks.rows(y, i), lse_rows = chunks.lse(lse, i);
      for (int j = 0; j < chunks.count(); ++j) {
        AttentionSpec pair;
        if (!chunks.pair(i, source, j, pair)) continue;
        const Tensor other = chunks.rows(kv, j);
        const Tensor k = other.column_range(0, A), v = other.column_range(A, A);
        // The own former chunk lies before every query of this rank that has any key: it comes
        // first, and what follows is merged into it.
        if (step == 0 && j == 0) {
          attention_forward(y_rows, lse_rows, q, k, v, pair);
        } else {
          attention_forward(y_part, lse_part, q, k, v, pair);
          attention_merge(y_rows, lse_rows, y_part, lse_part, pair);
        }
      }
    }
    if (more) kv = ring.received();
  }
}

// The gradients of a rank's keys and values start at the next rank, collect a part at each, and
// come home after size - 1 moves, where its own part is added.
void ring_attention_backward(Tensor& dqkv,
                             const Tensor& dy,
                             const Tensor& qkv,
                             const Tensor& y,
                             const Tensor& lse,
                             const AttentionSpec& spec,
                             SequenceCut cut,
                             Group& cp) {
  const Chunks chunks(spec, cut);
  const index_t A = chunks.width();
  if (cut.size == 1) {
    Tensor dq = dqkv.column_range(0, A), dk = dqkv.column_range(A, A),
           dv = dqkv.column_range(2 * A, A);
    return attention_backward(dq, dk, dv, dy, qkv.column_range(0, A), qkv.column_range(A, A),
                              qkv.column_range(2 * A, A), y, lse, spec);
  }
  Tensor kv = qkv.column_range(A, 2 * A).clone();
  Tensor dq = Tensor::zeros(y.shape(), y.dtype(), y.device());
  Tensor own;
  Tensor dq_part = Tensor::empty(chunks.rows(dq, 0).shape(), y.dtype(), y.device());
  Tensor dkv_part = Tensor::empty(chunks.rows(kv, 0).shape(), y.dtype(), y.device());
  Ring keys(cp, keys_tag), gradients(cp, gradients_tag);
  for (int step = 0; step < cut.size; ++step) {
    const bool more = step + 1 < cut.size;
    if (more) keys.start_receive(kv);
    if (more) keys.start_send(kv);
    const SequenceCut source = source_of(cut, step);
    Tensor dkv = Tensor::zeros(kv.shape(), kv.dtype(), kv.device());
    for (int i = 0; i < chunks.count(); ++i) {
      for (int j = 0; j < chunks.count(); ++j) {
        AttentionSpec pair;
        if (!chunks.pair(i, source, j, pair)) continue;
        const Tensor other = chunks.rows(kv, j);
        Tensor dk_part = dkv_part.column_range(0, A), dv_part = dkv_part.column_range(A, A);
        attention_backward(dq_part, dk_part, dv_part, chunks.rows(dy, i),
                           chunks.rows(qkv, i).column_range(0, A), other.column_range(0, A),
                           other.column_range(A, A), chunks.rows(y, i), chunks.lse(lse, i), pair);
        Tensor dq_rows = chunks.rows(dq, i), dkv_rows = chunks.rows(dkv, j);
        add(dq_rows, dq_rows, dq_part);
        add(dkv_rows, dkv_rows, dkv_part);
      }
    }
    if (step >= 2) add(dkv, dkv, gradients.received());
    if (step == 0) {
      own = dkv;
    } else {
      gradients.start_receive(dkv);
      gradients.start_send(dkv);
    }
    if (more) kv = keys.received();
  }
  add(own, own, gradients.received());
  dqkv.column_range(0, A).copy_from(dq);
  dqkv.column_range(A, 2 * A).copy_from(own);
}

}  // namespace lockstep
