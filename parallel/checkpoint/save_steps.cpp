#include "parallel/checkpoint/save_steps.hpp"

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
#include "core/direct_file.hpp"
#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "core/hdf5.hpp"
#include "parallel/checkpoint/gather_text.hpp"
#include "parallel/checkpoint/tile_file.hpp"

namespace lockstep::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tiles are written as they lie in memory");

// Parameters that several stages use and an earlier one than this writes. Collective over pp.
std::set<std::string> written_by_earlier_stages(const Topology& topology,
                                                const ParameterStore& store) {
  std::string tied;
  for (const ParameterStore::Entry& entry : store.entries()) {
    if (entry.row->uses.size() > 1) tied += entry.row->name + "\n";
  }
  const std::vector<std::string> stages = all_gather_text(topology.pp(), tied);
  std::set<std::string> names;
  for (int stage = 0; stage < topology.pp().rank(); ++stage) {
    std::istringstream lines(stages[static_cast<std::size_t>(stage)]);
    for (std::string name; std::getline(lines, name);) names.insert(name);
  }
  return names;
}

std::string file_name(int world_rank) {
  char name[32];
  std::snprintf(name, sizeof name, "rank-%05d.h5", world_rank);
  return name;
}

// Lays tiles out in a file by HDF5, then writes their bytes past it.
class TileWriter {
 public:
  TileWriter(const std::string& directory, int world_rank)
      : path_(directory + "/" + file_name(world_rank)), writer_(path_) {
    part_.files.push_back({.name = file_name(world_rank), .bytes = 0, .crc = 0});
  }

  // memory: flat, element 0 is element `first` of the rank's flat buffer; stays until finish().
  void add(std::size_t number,
           const Piece& piece,
           TileKind kind,
           const Tensor& memory,
           index_t first) {
    const hdf5::Type type = memory.dtype() == DType::f64 ? hdf5::Type::f64 : hdf5::Type::f32;
    Tile tile{.parameter = piece.row->name,
              .kind = kind,
              .file = 0,
              .dataset = dataset_name(number, kind),
              .offset = 0,
              .rectangle = piece.rectangle,
              .dtype = memory.dtype(),
              .crc = 0};
    tile.offset =
        writer_.create(tile.dataset, type, {tile.rectangle.rows(), tile.rectangle.columns()});
    part_.tiles.push_back(std::move(tile));
    from_.push_back(static_cast<const std::byte*>(memory.raw()) +
                    static_cast<std::size_t>(piece.offset - first) *
                        lockstep::size_of(memory.dtype()));
  }

  Manifest finish() {
    writer_.close();
    DirectFile file(path_);
    for (std::size_t i = 0; i < part_.tiles.size(); ++i) {
      Tile& tile = part_.tiles[i];
      const auto bytes = static_cast<std::size_t>(tile.bytes());
      tile.crc = crc32c(from_[i], bytes);
      file.write(tile.offset, from_[i], bytes);
    }
    file.finish();
    add_checksum(part_.files[0], path_, tiles_by_file(part_)[0]);
    return std::move(part_);
  }

 private:
  static std::string dataset_name(std::size_t number, TileKind kind) {
    char group[32];
    std::snprintf(group, sizeof group, "/tiles/%06zu/", number);
    return std::string(group) + name_of(kind);
  }

  std::string path_;
  hdf5::Writer writer_;
  Manifest part_;
  std::vector<const std::byte*> from_;  // of each tile
};

std::string parent_of(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
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
  // After a kill between the renames clean_leftovers puts it back.
  const std::string aside =
      checkpoints + "/.aside-" + std::filesystem::path(final_path).filename().string();
  std::error_code ignored;
  std::filesystem::remove_all(aside, ignored);
  rename_durably(final_path, aside);
  try {
    rename_durably(temporary, final_path);
  } catch (const Error&) {
    // Best effort: the failure that matters is the one under way.
    if (access(final_path.c_str(), F_OK) != 0) (void)std::rename(aside.c_str(), final_path.c_str());
    throw;
  }
  std::filesystem::remove_all(aside, ignored);
}

}  // namespace

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

void make_directories(const std::string& checkpoints, const std::string& temporary) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(checkpoints, error);
  if (error) fail("cannot create ", checkpoints, ": ", error.message());
  // A checkpoint is only as durable as the names that lead to it.
  if (made) fsync_directory(checkpoints + "/..");
  std::filesystem::remove_all(temporary, error);
  if (mkdir(temporary.c_str(), 0777) != 0)
    fail("cannot create ", temporary, ": ", std::strerror(errno));
}

Manifest write_rank_file(const std::string& directory,
                         int world_rank,
                         const std::vector<Piece>& pieces,
                         const Snapshot& snapshot) {
  if (pieces.empty()) return {};
  TileWriter writer(directory, world_rank);
  for (std::size_t number = 0; number < pieces.size(); ++number) {
    const Piece& piece = pieces[number];
    writer.add(number, piece, TileKind::weight, snapshot.weight, snapshot.first);
    writer.add(number, piece, TileKind::m, snapshot.m, snapshot.first);
    writer.add(number, piece, TileKind::v, snapshot.v, snapshot.first);
  }
  return writer.finish();
}

void commit(const std::vector<std::string>& parts,
            const CheckpointMeta& meta,
            const std::string& temporary,
            const std::string& final_path,
            const std::function<void()>& before_rename) {
  const std::string checkpoints = parent_of(final_path);
  Manifest manifest;
  for (const std::string& part : parts) manifest.append(parse_part(part, "a rank's tile table"));
  manifest.meta = meta;
  const std::string path = temporary + "/" + manifest_name;
  const std::string text = print_manifest(manifest);
  parse_manifest(text, path);  // whole: no element missing, none twice
  write_file_durably(path, text);
  fsync_directory(temporary);
  fsync_directory(checkpoints);
  if (before_rename) before_rename();
  move_into_place(temporary, final_path, checkpoints);
}

}  // namespace lockstep::checkpoint
