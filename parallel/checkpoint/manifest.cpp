#include "parallel/checkpoint/manifest.hpp"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "core/checksum.hpp"
#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "parallel/checkpoint/manifest_format.hpp"

namespace lockstep::checkpoint {
namespace {

using nlohmann::json;

std::string hex(std::uint32_t value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08" PRIx32, value);
  return text;
}

// Bytes that are not UTF-8 (a path in an option) become U+FFFD: JSON has no others.
std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json to_json(const TileFile& file) {
  return {{"name", file.name}, {"bytes", file.bytes}, {"crc32c", hex(file.crc)}};
}

json to_json(const Tile& tile) {
  const Rectangle& r = tile.rectangle;
  return {{"parameter", tile.parameter},
          {"kind", name_of(tile.kind)},
          {"file", tile.file},
          {"dataset", tile.dataset},
          {"offset", tile.offset},
          {"bytes", tile.bytes()},
          {"rows", {r.row0, r.row1}},
          {"columns", {r.col0, r.col1}},
          {"dtype", lockstep::name_of(tile.dtype)},
          {"crc32c", hex(tile.crc)}};
}

// One element a line: a table that people and line tools can read.
template <typename Elements>
void add_lines(std::string& text, const char* name, const Elements& elements) {
  text += build_string("\"", name, "\": [");
  const char* separator = "\n";
  for (const auto& element : elements) {
    text += separator + dump(to_json(element));
    separator = ",\n";
  }
  text += "\n],\n";
}

void check_file_on_disk(const TileFile& file, const std::string& step_directory) {
  const std::string path = step_directory + "/" + file.name;
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) fail("checkpoint file ", path, ": ", std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail("checkpoint file ", path, " is not a regular file");
  if (static_cast<std::uint64_t>(status.st_size) != file.bytes) {
    fail("checkpoint file ", path, " has ", status.st_size, " bytes, the manifest says ",
         file.bytes);
  }
}

}  // namespace

const char* name_of(TileKind kind) {
  switch (kind) {
    case TileKind::weight:
      return "weight";
    case TileKind::m:
      return "m";
    case TileKind::v:
      return "v";
  }
  return "?";
}

std::string describe(const Tile& tile) {
  const Rectangle& r = tile.rectangle;
  return build_string(name_of(tile.kind), " rows ", r.row0, "-", r.row1 - 1, ", columns ", r.col0,
                      "-", r.col1 - 1, " of ", tile.parameter);
}

std::string step_name(std::int64_t step) {
  const std::string digits = std::to_string(step);
  return "step-" + std::string(digits.size() < 9 ? 9 - digits.size() : 0, '0') + digits;
}

std::vector<std::vector<const Tile*>> tiles_by_file(const Manifest& manifest) {
  std::vector<std::vector<const Tile*>> files(manifest.files.size());
  for (const Tile& tile : manifest.tiles) files[tile.file].push_back(&tile);
  for (std::vector<const Tile*>& tiles : files) {
    std::sort(tiles.begin(), tiles.end(),
              [](const Tile* a, const Tile* b) { return a->offset < b->offset; });
  }
  return files;
}

void Manifest::append(const Manifest& part) {
  const std::size_t first = files.size();
  files.insert(files.end(), part.files.begin(), part.files.end());
  parameters.insert(part.parameters.begin(), part.parameters.end());
  for (Tile tile : part.tiles) {
    tile.file += first;
    tiles.push_back(std::move(tile));
  }
}

std::uint64_t Manifest::bytes() const {
  std::uint64_t bytes = 0;
  for (const TileFile& file : files) bytes += file.bytes;
  return bytes;
}

std::string closing_lines(std::uint32_t crc) { return "\"crc32c\": \"" + hex(crc) + "\"\n}\n"; }

std::string print_manifest(const Manifest& manifest) {
  const CheckpointMeta& meta = manifest.meta;
  const std::pair<const char*, json> members[] = {{"format", format_name},
                                                  {"version", format_version},
                                                  {"step", meta.step},
                                                  {"consumed_samples", meta.consumed_samples},
                                                  {"incarnation", meta.incarnation},
                                                  {"seed", meta.seed},
                                                  {"corpus_fingerprint", meta.corpus_fingerprint},
                                                  {"options", meta.options},
                                                  {"layout", meta.layout},
                                                  {"parameters", manifest.parameters}};
  std::string text = "{\n";
  for (const auto& [name, value] : members)
    text += build_string("\"", name, "\": ", dump(value), ",\n");
  add_lines(text, "files", manifest.files);
  add_lines(text, "tiles", manifest.tiles);
  return text + closing_lines(crc32c(text.data(), text.size()));
}

Manifest read_manifest_alone(const std::string& step_directory) {
  const std::string path = step_directory + "/" + manifest_name;
  std::string text;
  try {
    text = read_file(path);
  } catch (const Error& error) {
    fail(error.what());
  }
  Manifest manifest = parse_manifest(text, path);
  const std::filesystem::path normal =
      std::filesystem::path(step_directory + "/").lexically_normal().parent_path();
  const std::string name = normal.filename().string();
  if (name.compare(0, 5, "step-") == 0 && name != step_name(manifest.meta.step)) {
    fail(path, ": is the manifest of ", step_name(manifest.meta.step), ", not of ", name);
  }
  return manifest;
}

Manifest read_manifest(const std::string& step_directory) {
  Manifest manifest = read_manifest_alone(step_directory);
  for (const TileFile& file : manifest.files) check_file_on_disk(file, step_directory);
  return manifest;
}

}  // namespace lockstep::checkpoint
