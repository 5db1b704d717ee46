// manifest.json of a checkpoint: what the run needs, the files, the canonical shapes, and the tile
// table, one JSON object whose last member is the CRC-32C of every byte before it. A changed,
// missing or added byte anywhere makes parse_manifest throw. A tile is a rectangle of a canonical
// parameter, dense and row-major at a byte offset of a file: readers need no HDF5.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "parallel/checkpoint/checkpoint.hpp"

namespace lockstep::checkpoint {

inline constexpr char manifest_name[] = "manifest.json";

enum class TileKind { weight, m, v };
const char* name_of(TileKind kind);

struct Tile {
  std::string parameter;
  TileKind kind = TileKind::weight;
  std::size_t file = 0;  // of Manifest::files
  std::string dataset;   // "/tiles/000012/weight"
  std::uint64_t offset = 0;
  Rectangle rectangle;
  DType dtype = DType::f32;  // f32 or f64
  std::uint32_t crc = 0;

  std::uint64_t bytes() const {
    return static_cast<std::uint64_t>(rectangle.count()) * size_of(dtype);
  }
};

struct TileFile {
  std::string name;  // "rank-00003.h5"
  std::uint64_t bytes = 0;
  std::uint32_t crc = 0;
};

struct Manifest {
  CheckpointMeta meta;
  std::vector<TileFile> files;
  std::map<std::string, std::vector<index_t>> parameters;  // canonical shapes
  std::vector<Tile> tiles;

  // Files follow on, parameters unite. For the parts of the ranks.
  void append(const Manifest& part);
  std::uint64_t bytes() const;  // of all files
};

std::string print_manifest(const Manifest& manifest);
// Throws Error (failed) that names `path` and the field. Checks the CRC, every field, and that the
// tiles of each parameter and kind cover it exactly: nothing twice, nothing missing.
Manifest parse_manifest(const std::string& text, const std::string& path);
// Like parse_manifest, but of one rank's part: the tiles need not cover the parameters.
Manifest parse_part(const std::string& text, const std::string& path);

// Reads and parses; also checks that the files are there with their sizes and that the directory is
// named after the step.
Manifest read_manifest(const std::string& step_directory);
// The same without a look at the files.
Manifest read_manifest_alone(const std::string& step_directory);

// The tiles of each file, by offset. They share no bytes (parse_part has seen to it).
std::vector<std::vector<const Tile*>> tiles_by_file(const Manifest& manifest);

std::string step_name(std::int64_t step);  // "step-000000123"
// "weight rows 0-63, columns 0-31 of layers.0.ffn.input.weight" for messages.
std::string describe(const Tile& tile);

}  // namespace lockstep::checkpoint
