#include "tests/parallel/checkpoint/run_state.hpp"

#include <fstream>

#include "core/random.hpp"
#include "parallel/checkpoint/gather_text.hpp"
#include "parallel/tensor/shard_plan.hpp"
#include "tests/support/mpi.hpp"
#include "tests/support/tolerance.hpp"

namespace lockstep::test {
namespace {

constexpr index_t sequence_length = 8;

double known(const ParameterRow& row, index_t row_number, index_t column, int kind) {
  const auto element = static_cast<std::uint64_t>(row_number * row.canonical_columns() + column);
  const std::uint64_t bits =
      mix(mix(hash_name(row.name), static_cast<std::uint64_t>(kind)), element);
  return static_cast<double>(bits >> 11) * 0x1p-53 + 0x1p-30;  // above 0: padding is not like it
}

void fill_pieces(Tensor memory, index_t first, const std::vector<Piece>& pieces, int kind) {
  memory.fill_zero();
  for (const Piece& piece : pieces) {
    const Rectangle& r = piece.rectangle;
    for (index_t i = 0; i < r.count(); ++i) {
      set_value(memory, piece.offset - first + i,
                known(*piece.row, r.row0 + i / r.columns(), r.col0 + i % r.columns(), kind));
    }
  }
}

index_t num_wrong_in(const Tensor& memory,
                     index_t first,
                     const std::vector<Piece>& pieces,
                     int kind,
                     DType rounded_to) {
  Tensor expected =
      Tensor::empty(memory.shape(), rounded_to == DType::f32 ? DType::f32 : memory.dtype());
  fill_pieces(expected, first, pieces, kind);
  index_t wrong = 0;
  for (index_t i = 0; i < memory.count(); ++i)
    wrong += value_at(memory, i) != value_at(expected, i) ? 1 : 0;
  return wrong;
}

OptimizerState moments(const Topology& topology, index_t count, bool zero, DType dtype) {
  const Span own = zero ? span_of(count, topology.replicas().rank(), topology.replicas().size())
                        : Span{0, count};
  return {own, Tensor::zeros({own.count}, dtype), Tensor::zeros({own.count}, dtype)};
}

}  // namespace

std::string Layout::to_string() const {
  return build_string("dp ", degrees.dp, " pp ", degrees.pp, " tp ", degrees.tp,
                      zero ? " zero" : "");
}

std::vector<Layout> layouts_of(int ranks) {
  std::vector<Layout> layouts;
  for (int pp = 1; pp <= ranks; pp *= 2) {
    for (int tp = 1; pp * tp <= ranks; tp *= 2) {
      for (bool zero : {false, true})
        layouts.push_back({{.dp = ranks / pp / tp, .pp = pp, .cp = 1, .tp = tp}, zero});
    }
  }
  return layouts;
}

ModelConfig small_model(int tp, index_t layers) {
  ModelConfig config;
  config.layers = layers;
  config.heads = 4;
  config.width = 12;
  config.ffn_width = 20;
  config.vocab_size = 13;
  config.max_positions = sequence_length;
  config.segment_types = 2;
  config.norm = NormPlace::post;
  config.embedding_norm = true;
  config.final_norm = false;
  config.mlm_transform = true;
  config.objective = Objective::mlm_nsp;
  config.mask = Mask::full;
  config.resolve(3, tp);
  return config;
}

RunState::RunState(const Layout& layout, DType dtype, index_t layers)
    : topology_(environment(), layout.degrees),
      config_(small_model(layout.degrees.tp, layers)),
      table_(config_),
      stages_(cut_stages(plan_layers(config_, sequence_length), layout.degrees.pp)),
      store_(table_,
             stages_[static_cast<std::size_t>(topology_.pp_rank())],
             topology_.tp_rank(),
             layout.degrees.tp,
             dtype,
             {}),
      optimizer_(moments(topology_, store_.count(), layout.zero, dtype)) {}

void RunState::fill() {
  fill_pieces(store_.values(), 0, pieces_of(store_, {0, store_.count()}), 0);
  const std::vector<Piece> own = pieces_of(store_, optimizer_.own_span);
  fill_pieces(optimizer_.m, optimizer_.own_span.first, own, 1);
  fill_pieces(optimizer_.v, optimizer_.own_span.first, own, 2);
}

void RunState::fill_wrong() {
  for (Tensor memory : {store_.values(), optimizer_.m, optimizer_.v}) {
    for (index_t i = 0; i < memory.count(); ++i) set_value(memory, i, -7);
  }
}

index_t RunState::num_wrong(bool with_moments, DType rounded_to) const {
  index_t wrong =
      num_wrong_in(store_.values(), 0, pieces_of(store_, {0, store_.count()}), 0, rounded_to);
  if (!with_moments) return wrong;
  const index_t first = optimizer_.own_span.first;
  const std::vector<Piece> own = pieces_of(store_, optimizer_.own_span);
  return wrong + num_wrong_in(optimizer_.m, first, own, 1, rounded_to) +
         num_wrong_in(optimizer_.v, first, own, 2, rounded_to);
}

SaveResult RunState::save(const std::string& checkpoints, std::int64_t step) const {
  return save_checkpoint(environment(), topology_, checkpoints, meta(step), store_, optimizer_);
}

void RunState::load(const std::string& step_directory, bool with_moments) {
  load_checkpoint(environment(), topology_, step_directory, store_,
                  with_moments ? &optimizer_ : nullptr);
}

std::string RunState::hash() const { return weights_sha256(topology_, table_, stages_, store_); }

CheckpointMeta RunState::meta(std::int64_t step) {
  return {.step = step,
          .consumed_samples = 8 * step,
          .seed = 42,
          .corpus_fingerprint = "c0ffee",
          .options = {{"learning-rate", "0.001"}},
          .layout = {{"ranks", "4"}}};
}

SharedDirectory::SharedDirectory() {
  Group& world = environment().world();
  if (world.rank() == 0) own_.emplace();
  path_ = checkpoint::all_gather_text(world, own_ ? own_->path() : "")[0];
}

SharedDirectory::~SharedDirectory() { environment().world().barrier(); }

void flip_bit(const std::string& path, std::uint64_t byte) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(byte));
  const int value = file.get();
  file.seekp(static_cast<std::streamoff>(byte));
  file.put(static_cast<char>(value ^ (1 << byte % 8)));
}

}  // namespace lockstep::test
