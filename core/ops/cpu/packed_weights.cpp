#include "core/ops/cpu/packed_weights.hpp"

#include <mutex>

#include "core/error.hpp"
#include "core/ops/cpu/onednn.hpp"

namespace lockstep {
namespace {

using dnnl::memory;

// Of all ranks in this process.
struct Buffers {
  std::mutex mutex;
  std::map<const void*, PackedWeights::Kept*> kept;
};

Buffers& buffers() {
  static Buffers all;
  return all;
}

}  // namespace

PackedWeights::PackedWeights(const Tensor& flat) {
  if (flat.defined() && flat.dtype() == DType::bf16 && flat.device().kind == Device::Kind::cpu)
    kept_ = std::make_shared<Kept>(flat);
}

void PackedWeights::changed() {
  if (kept_ != nullptr) kept_->changed();
}

PackedWeights::Kept::Kept(const Tensor& flat) : flat_(flat) {
  const std::scoped_lock lock(buffers().mutex);
  buffers().kept.emplace(flat_.buffer(), this);
}

PackedWeights::Kept::~Kept() {
  const std::scoped_lock lock(buffers().mutex);
  buffers().kept.erase(flat_.buffer());
}

// oneDNN is asked for the layout it likes best in a product of some rows: products of all sizes
// then read that one.
PackedWeights::Kept::Copy PackedWeights::Kept::make(const Key& key) {
  constexpr index_t M = 512;
  cpu::prepare_onednn();
  const dnnl::engine& engine = cpu::onednn_engine();
  const memory::dims sizes{key.K, key.N};
  const memory::desc plain(sizes, memory::data_type::bf16, memory::dims{key.row, key.column});
  Copy copy;
  try {
    copy.matrix.layout =
        cpu::matmul_description({{M, key.K}, memory::data_type::bf16, memory::dims{key.K, 1}},
                                {sizes, memory::data_type::bf16, memory::format_tag::any},
                                {{M, key.N}, memory::data_type::f32, memory::dims{key.N, 1}}, {})
            .weights_desc();
  } catch (const dnnl::error& error) {
    require(error.status == dnnl_unimplemented, "oneDNN packs no weight of ", key.K, " x ", key.N,
            ": ", error.what());
    return copy;
  }
  if (copy.matrix.layout == plain) return copy;
  copy.matrix.bytes =
      Tensor::empty({static_cast<index_t>(copy.matrix.layout.get_size())}, DType::u8);
  copy.from = memory(plain, engine, const_cast<Bf16*>(key.first));  // only read
  copy.to = memory(copy.matrix.layout, engine, copy.matrix.bytes.raw());
  copy.pack = dnnl::reorder(copy.from, copy.to);
  return copy;
}

const PackedWeights::Kept::Matrix* PackedWeights::Kept::packed(const Tensor& b,
                                                               Transpose transpose) {
  const bool swap = transpose == Transpose::yes;
  const Key key{b.data<Bf16>(), swap ? b.columns() : b.rows(), swap ? b.rows() : b.columns(),
                swap ? 1 : b.row_stride(), swap ? b.row_stride() : 1};
  auto found = copies_.find(key);
  if (found == copies_.end()) found = copies_.emplace(key, make(key)).first;
  Copy& copy = found->second;
  if (!copy.matrix.bytes.defined()) return nullptr;
  if (copy.version != version_) {
    dnnl::stream stream(cpu::onednn_engine());
    copy.pack.execute(stream, copy.from, copy.to);
    copy.version = version_;
  }
  return &copy.matrix;
}

namespace cpu {

const PackedWeights::Kept::Matrix* packed_weight(const Tensor& b, Transpose transpose) {
  PackedWeights::Kept* kept = nullptr;
  {
    const std::scoped_lock lock(buffers().mutex);
    const auto found = buffers().kept.find(b.buffer());
    if (found != buffers().kept.end()) kept = found->second;
  }
  return kept == nullptr ? nullptr : kept->packed(b, transpose);
}

}  // namespace cpu
}  // namespace lockstep
