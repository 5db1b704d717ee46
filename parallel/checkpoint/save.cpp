#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include "core/checksum.hpp"
#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "core/hdf5.hpp"
#include "parallel/checkpoint/checkpoint.hpp"
#include "parallel/checkpoint/gather_text.hpp"
#include "parallel/checkpoint/manifest.hpp"
#include "parallel/checkpoint/tile_file.hpp"
#include "parallel/tensor/shard_plan.hpp"

namespace lockstep {
namespace {

using checkpoint::Manifest;
using checkpoint::Tile;
using checkpoint::TileKind;

static_assert(std::endian::native == std::endian::little,
              "tiles are written as they lie in memory");

// Parameters that several stages use and an earlier one than this writes. Collective over pp.
std::set<std::string> written_by_earlier_stages(const Topology& topology,
                                                const ParameterStore& store) {
  std::string tied;
  for (const ParameterStore::Entry& entry : store.entries()) {
    if (entry.row->uses.size() > 1) tied += entry.row->name + "\n";
  }
  const std::vector<std::string> stages = checkpoint::all_gather_text(topology.pp(), tied);
  std::set<std::string> names;
  for (int stage = 0; stage < topology.pp().rank(); ++stage) {
    std::istringstream lines(stages[static_cast<std::size_t>(stage)]);
    for (std::string name; std::getline(lines, name);) names.insert(name);
  }
  return names;
}

// What this rank alone writes. Collective over pp.
std::vector<Piece> owned_pieces(const Topology& topology, const ParameterStore& store) {
  const std::set<std::string> written = written_by_earlier_stages(topology, store);
  std::vector<Piece> pieces = pieces_of(
      store, span_of(store.count(), topology.replicas().rank(), topology.replicas().size()));
  std::erase_if(pieces, [&](const Piece& piece) {
    const bool on_every_tp_rank = piece.row->cut.kind != Cut::Kind::dim;
    return (on_every_tp_rank && topology.tp().rank() != 0) || written.count(piece.row->name) > 0;
  });
  return pieces;
}

std::string file_name(int world_rank) {
  char name[32];
  std::snprintf(name, sizeof name, "rank-%05d.h5", world_rank);
  return name;
}

std::vector<index_t> sizes_of(const Shape& shape) {
  std::vector<index_t> sizes;
  for (int dim = 0; dim < shape.dims(); ++dim) sizes.push_back(shape[dim]);
  return sizes;
}

// Writes tiles one after the other and remembers them.
class TileWriter {
 public:
  TileWriter(const std::string& directory, int world_rank)
      : writer_(directory + "/" + file_name(world_rank)) {
    part_.files.push_back({.name = file_name(world_rank), .bytes = 0, .crc = 0});
  }

  // memory: flat, element 0 is element `first` of the rank's flat buffer.
  void add(std::size_t number,
           const Piece& piece,
           TileKind kind,
           const Tensor& memory,
           index_t first) {
    const hdf5::Type type = memory.dtype() == DType::f64 ? hdf5::Type::f64 : hdf5::Type::f32;
    const auto* data =
        static_cast<const std::byte*>(memory.raw()) +
        static_cast<std::size_t>(piece.offset - first) * lockstep::size_of(memory.dtype());
    Tile tile{.parameter = piece.row->name,
              .kind = kind,
              .file = 0,
              .dataset = dataset_name(number, kind),
              .offset = 0,
              .rectangle = piece.rectangle,
              .dtype = memory.dtype(),
              .crc = 0};
    // Before HDF5 sees the bytes: what it then does to them is checked when the file is read back.
    tile.crc = crc32c(data, static_cast<std::size_t>(tile.bytes()));
    tile.offset = writer_.write_all(tile.dataset, type,
                                    {tile.rectangle.rows(), tile.rectangle.columns()}, data);
    part_.tiles.push_back(std::move(tile));
  }

  Manifest finish(const std::string& directory) {
    writer_.close();
    checkpoint::TileFile& file = part_.files[0];
    fsync_file(directory + "/" + file.name);
    const checkpoint::Checksums sums =
        checkpoint::checksums_of(directory + "/" + file.name, checkpoint::tiles_by_file(part_)[0]);
    file.bytes = sums.bytes;
    file.crc = sums.file;
    checkpoint::check_file(directory, file, checkpoint::tiles_by_file(part_)[0]);
    return std::move(part_);
  }

 private:
  static std::string dataset_name(std::size_t number, TileKind kind) {
    char group[32];
    std::snprintf(group, sizeof group, "/tiles/%06zu/", number);
    return std::string(group) + checkpoint::name_of(kind);
  }

  hdf5::Writer writer_;
  Manifest part_;
};

// This rank's file, on disk and read back, and its part of the manifest; without pieces only the
// shapes it knows.
Manifest write_rank_file(const std::string& directory,
                         int world_rank,
                         const std::vector<Piece>& pieces,
                         const ParameterStore& store,
                         const OptimizerState& optimizer) {
  Manifest part;
  if (!pieces.empty()) {
    TileWriter writer(directory, world_rank);
    const Tensor values = store.values().to(Device{}), m = optimizer.m.to(Device{}),
                 v = optimizer.v.to(Device{});
    for (std::size_t number = 0; number < pieces.size(); ++number) {
      const Piece& piece = pieces[number];
      writer.add(number, piece, TileKind::weight, values, 0);
      writer.add(number, piece, TileKind::m, m, optimizer.own_span.first);
      writer.add(number, piece, TileKind::v, v, optimizer.own_span.first);
    }
    part = writer.finish(directory);
  }
  for (const ParameterStore::Entry& entry : store.entries()) {
    part.parameters[entry.row->name] = sizes_of(entry.row->shape);
  }
  return part;
}

void make_directories(const std::string& checkpoints, const std::string& temporary) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(checkpoints, error);
  if (error) fail("cannot create ", checkpoints, ": ", error.message());
  // A checkpoint is only as durable as the names that lead to it.
  if (made) fsync_directory(checkpoints + "/..");
  std::filesystem::remove_all(temporary, error);
  if (mkdir(temporary.c_str(), 0777) != 0) {
    fail("cannot create ", temporary, ": ", std::strerror(errno));
  }
  fsync_directory(checkpoints);
}

// Puts the finished directory in its place. One that is there already (a step done again after
// going back) changes places with it in one system call where the file system can: at no moment is
// there no checkpoint of this step.
void move_into_place(const std::string& temporary,
                     const std::string& final_path,
                     const std::string& checkpoints) {
  if (access(final_path.c_str(), F_OK) != 0) return rename_durably(temporary, final_path);
  if (renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, final_path.c_str(), RENAME_EXCHANGE) == 0) {
    fsync_directory(checkpoints);
    std::error_code later;  // what stays is a leftover that the next clean_leftovers removes
    std::filesystem::remove_all(temporary, later);
    return;
  }
  const std::string trash =
      checkpoints + "/.trash-" + std::filesystem::path(final_path).filename().string();
  std::error_code ignored;
  std::filesystem::remove_all(trash, ignored);
  rename_durably(final_path, trash);
  try {
    rename_durably(temporary, final_path);
  } catch (const Error&) {
    // Best effort: the failure that matters is the one under way.
    if (access(final_path.c_str(), F_OK) != 0) (void)std::rename(trash.c_str(), final_path.c_str());
    throw;
  }
  std::filesystem::remove_all(trash, ignored);
}

// Rank 0: manifest, then the rename that makes it a checkpoint.
void commit(const std::vector<std::string>& parts,
            const CheckpointMeta& meta,
            const std::string& temporary,
            const std::string& final_path,
            const std::string& checkpoints) {
  Manifest manifest;
  for (const std::string& part : parts)
    manifest.append(checkpoint::parse_part(part, "a rank's tile table"));
  manifest.meta = meta;
  const std::string path = temporary + "/" + checkpoint::manifest_name;
  const std::string text = checkpoint::print_manifest(manifest);
  checkpoint::parse_manifest(text, path);  // whole: no element missing, none twice
  write_file_durably(path, text);
  fsync_directory(temporary);
  move_into_place(temporary, final_path, checkpoints);
}

std::int64_t sum_over(Group& group, std::int64_t value) {
  Tensor sum = Tensor::from(std::vector<std::int64_t>{value}, {1});
  group.all_reduce(sum, Reduce::sum, "checkpoint");
  return sum.data<std::int64_t>()[0];
}

void check_optimizer(const Topology& topology,
                     const ParameterStore& store,
                     const OptimizerState& optimizer) {
  const Span part = span_of(store.count(), topology.replicas().rank(), topology.replicas().size());
  const Span own = optimizer.own_span;
  const bool covers = own.first <= part.first && part.first + part.count <= own.first + own.count;
  if (!covers || optimizer.m.count() != own.count || optimizer.v.count() != own.count) {
    fail("the optimizer state of ", topology.tag(), " does not hold elements ", part.first, " to ",
         part.first + part.count, " of its parameters");
  }
}

}  // namespace

SaveResult save_checkpoint(const Environment& environment,
                           const Topology& topology,
                           const std::string& checkpoints,
                           const CheckpointMeta& meta,
                           const ParameterStore& store,
                           const OptimizerState& optimizer) {
  const auto start = std::chrono::steady_clock::now();
  Group& world = topology.world();
  const bool root = world.rank() == 0;
  const std::vector<Piece> pieces = owned_pieces(topology, store);
  const std::int64_t process = sum_over(world, root ? getpid() : 0);
  const std::string temporary = build_string(checkpoints, "/.tmp-", meta.step, "-", process);
  SaveResult result;
  result.path = checkpoints + "/" + checkpoint::step_name(meta.step);
  try {
    environment.agree([&] {
      check_optimizer(topology, store, optimizer);
      if (root) make_directories(checkpoints, temporary);
    });
    Manifest part;
    environment.agree(
        [&] { part = write_rank_file(temporary, world.rank(), pieces, store, optimizer); });
    result.bytes =
        static_cast<std::uint64_t>(sum_over(world, static_cast<std::int64_t>(part.bytes())));
    const std::vector<std::string> parts =
        checkpoint::gather_text(world, checkpoint::print_manifest(part));
    environment.agree([&] {
      if (root) commit(parts, meta, temporary, result.path, checkpoints);
    });
  } catch (const Error&) {
    // Every rank has left its writing by now: they have agreed on the failure.
    std::error_code ignored;
    if (root) std::filesystem::remove_all(temporary, ignored);
    throw;
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  result.seconds = seconds.count();
  return result;
}

}  // namespace lockstep
