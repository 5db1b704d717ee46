#include <algorithm>
#include <map>
#include <utility>

#include "core/checksum.hpp"
#include "core/error.hpp"
#include "parallel/checkpoint/checkpoint.hpp"
#include "parallel/checkpoint/manifest.hpp"
#include "parallel/checkpoint/tile_file.hpp"
#include "parallel/tensor/shard_plan.hpp"

namespace lockstep {
namespace {

using checkpoint::Manifest;
using checkpoint::Tile;
using checkpoint::TileKind;

constexpr index_t buffer_elements = index_t{1} << 17;

template <typename From, typename To>
void convert(const void* from, void* to, index_t count) {
  const auto* source = static_cast<const From*>(from);
  auto* target = static_cast<To*>(to);
  for (index_t i = 0; i < count; ++i) target[i] = static_cast<To>(source[i]);
}

void copy_values(const void* from, DType from_dtype, void* to, DType to_dtype, index_t count) {
  if (from_dtype == DType::f32) {
    to_dtype == DType::f32 ? convert<float, float>(from, to, count)
                           : convert<float, double>(from, to, count);
  } else {
    to_dtype == DType::f32 ? convert<double, float>(from, to, count)
                           : convert<double, double>(from, to, count);
  }
}

// Where the tiles of one kind go: flat memory whose element 0 is element `first` of the rank's flat
// buffer. Read into memory of the CPU, which is `to` itself unless that is on a GPU.
struct Target {
  Target(Tensor to, index_t first, const std::vector<Piece>& all)
      : destination(std::move(to)),
        memory(destination.device() == Device{}
                   ? destination
                   : Tensor::empty(destination.shape(), destination.dtype())),
        first(first) {
    for (const Piece& piece : all) pieces[piece.row->name].push_back(piece);
  }

  void deliver() {
    if (destination.device() != Device{}) destination.copy_from(memory);
  }

  Tensor destination, memory;
  index_t first;
  std::map<std::string, std::vector<Piece>> pieces;
};

// Elements [begin, begin + count) of a tile, in its row-major order, as read from the file.
struct TilePart {
  const Tile& tile;
  index_t begin, count;
  const std::byte* bytes;
};

// Copies what the part of the tile and the piece share.
void place(const TilePart& part, const Piece& piece, Target& target) {
  const Rectangle& from = part.tile.rectangle;
  const Rectangle& to = piece.rectangle;
  const Rectangle shared = intersection(from, to);
  const index_t first_row = from.row0 + part.begin / from.columns();
  const index_t last_row = from.row0 + (part.begin + part.count - 1) / from.columns();
  for (index_t row = std::max(shared.row0, first_row); row < std::min(shared.row1, last_row + 1);
       ++row) {
    const index_t row_start =
        (row - from.row0) * from.columns() - from.col0;  // of column 0, in the tile
    const index_t begin = std::max(row_start + shared.col0, part.begin);
    const index_t end = std::min(row_start + shared.col1, part.begin + part.count);
    if (begin >= end) continue;
    const index_t column = begin - row_start;
    const index_t element =
        piece.offset - target.first + (row - to.row0) * to.columns() + column - to.col0;
    copy_values(
        part.bytes + static_cast<std::size_t>(begin - part.begin) * size_of(part.tile.dtype),
        part.tile.dtype,
        static_cast<std::byte*>(target.memory.raw()) +
            static_cast<std::size_t>(element) * size_of(target.memory.dtype()),
        target.memory.dtype(), end - begin);
  }
}

// Streams the tile through a small buffer. Its CRC is known at the end only: on damage the load
// fails as a whole, and nothing is computed from what was copied.
void read_tile(const checkpoint::TileReader& reader,
               const Tile& tile,
               const std::vector<Piece>& pieces,
               Target& target) {
  std::vector<std::byte> buffer(static_cast<std::size_t>(buffer_elements) * size_of(tile.dtype));
  std::uint32_t crc = 0;
  for (index_t begin = 0; begin < tile.rectangle.count(); begin += buffer_elements) {
    const index_t count = std::min(buffer_elements, tile.rectangle.count() - begin);
    const std::size_t bytes = static_cast<std::size_t>(count) * size_of(tile.dtype);
    reader.read(tile.offset + static_cast<std::uint64_t>(begin) * size_of(tile.dtype),
                buffer.data(), bytes);
    crc = crc32c(buffer.data(), bytes, crc);
    for (const Piece& piece : pieces) place({tile, begin, count, buffer.data()}, piece, target);
  }
  if (crc != tile.crc) checkpoint::fail_damaged(reader.path(), tile);
}

bool overlaps(const Tile& tile, const std::vector<Piece>& pieces) {
  return std::any_of(pieces.begin(), pieces.end(), [&](const Piece& piece) {
    return intersection(tile.rectangle, piece.rectangle).count() > 0;
  });
}

void read_tiles(const Manifest& manifest,
                const std::string& step_directory,
                std::map<TileKind, Target>& targets) {
  const auto tiles = checkpoint::tiles_by_file(manifest);
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    std::optional<checkpoint::TileReader>
        reader;  // opened when the first tile of the file is wanted
    for (const Tile* tile : tiles[i]) {
      const auto target = targets.find(tile->kind);
      if (target == targets.end()) continue;
      const auto pieces = target->second.pieces.find(tile->parameter);
      if (pieces == target->second.pieces.end() || !overlaps(*tile, pieces->second)) continue;
      if (!reader) reader.emplace(step_directory + "/" + manifest.files[i].name);
      read_tile(*reader, *tile, pieces->second, target->second);
    }
  }
}

// The manifest's tiles cover its parameters exactly (parse_manifest), so a parameter that is there
// with the right shape is whole.
void check_parameters(const Manifest& manifest,
                      const std::string& step_directory,
                      const ParameterStore& store) {
  for (const ParameterStore::Entry& entry : store.entries()) {
    const ParameterRow& row = *entry.row;
    const auto found = manifest.parameters.find(row.name);
    if (found == manifest.parameters.end()) {
      fail("checkpoint ", step_directory, " has no parameter ", row.name,
           ": it is of another model");
    }
    std::vector<index_t> shape;
    for (int dim = 0; dim < row.shape.dims(); ++dim) shape.push_back(row.shape[dim]);
    if (found->second != shape) {
      fail("checkpoint ", step_directory, ": parameter ", row.name,
           " has another shape than the model's ", row.shape.to_string());
    }
  }
}

// With the moments it is a run that goes on: then the files are checked whole, each by one rank.
void check_whole_files(const Manifest& manifest,
                       const std::string& step_directory,
                       const Group& world) {
  const auto tiles = checkpoint::tiles_by_file(manifest);
  const auto ranks = static_cast<std::size_t>(world.size());
  for (auto i = static_cast<std::size_t>(world.rank()); i < tiles.size(); i += ranks) {
    checkpoint::check_file(step_directory, manifest.files[i], tiles[i]);
  }
}

// A checkpoint of a model with more layers than this one must not load. Collective over the world.
void check_all_used(const Environment& environment,
                    const Manifest& manifest,
                    const std::string& step_directory,
                    const ParameterStore& store,
                    Group& world) {
  Tensor used = Tensor::zeros({static_cast<index_t>(manifest.parameters.size())}, DType::i64);
  index_t i = 0;
  for (const auto& parameter : manifest.parameters)
    used.data<std::int64_t>()[i++] = store.has(parameter.first) ? 1 : 0;
  world.all_reduce(used, Reduce::max, "checkpoint");
  environment.agree([&] {
    index_t at = 0;
    for (const auto& parameter : manifest.parameters) {
      if (used.data<std::int64_t>()[at++] == 0) {
        fail("checkpoint ", step_directory, " holds ", parameter.first,
             ", which the model lacks: it is of another model");
      }
    }
  });
}

}  // namespace

void load_checkpoint(const Environment& environment,
                     const Topology& topology,
                     const std::string& step_directory,
                     ParameterStore& store,
                     OptimizerState* optimizer) {
  Manifest manifest;
  environment.agree([&] {
    manifest = checkpoint::read_manifest(step_directory);
    check_parameters(manifest, step_directory, store);
    if (optimizer != nullptr) check_whole_files(manifest, step_directory, topology.world());
    const Span all{0, store.count()};
    std::map<TileKind, Target> targets;
    targets.emplace(TileKind::weight, Target(store.values(), 0, pieces_of(store, all)));
    if (optimizer != nullptr) {
      const Span own = optimizer->own_span;
      targets.emplace(TileKind::m, Target(optimizer->m, own.first, pieces_of(store, own)));
      targets.emplace(TileKind::v, Target(optimizer->v, own.first, pieces_of(store, own)));
    }
    for (auto& target : targets) target.second.memory.fill_zero();  // padding rows are in no tile
    read_tiles(manifest, step_directory, targets);
    for (auto& target : targets) target.second.deliver();
  });
  check_all_used(environment, manifest, step_directory, store, topology.world());
}

}  // namespace lockstep
