// A manifest is hostile input even when its CRC is right: every field is checked before it is used.
#include <algorithm>
#include <cstdlib>
#include <limits>

#include <nlohmann/json.hpp>

#include "core/checksum.hpp"
#include "core/error.hpp"
#include "parallel/checkpoint/manifest.hpp"
#include "parallel/checkpoint/manifest_format.hpp"

namespace lockstep::checkpoint {
namespace {

using nlohmann::json;

// Typed access to the members of an object. Every failure names the file and the field.
class Fields {
 public:
  Fields(const json& object, std::string place, const std::string& path)
      : object_(object), place_(std::move(place)), path_(path) {
    if (!object.is_object()) bad("", "is not an object");
  }

  [[noreturn]] void bad(const std::string& field, const char* what) const {
    const char* dot = place_.empty() || field.empty() ? "" : ".";
    fail(path_, ": ", place_, dot, field, " ", what,
         ": the checkpoint is damaged or not one of ours");
  }
  const json& get(const std::string& field) const {
    const auto found = object_.find(field);
    if (found == object_.end()) bad(field, "is missing");
    return *found;
  }
  std::string text(const std::string& field) const {
    const json& value = get(field);
    if (!value.is_string()) bad(field, "is not a string");
    return value.get<std::string>();
  }
  std::uint64_t natural(const std::string& field) const {
    const json& value = get(field);
    if (!value.is_number_unsigned()) bad(field, "is not a natural number");
    return value.get<std::uint64_t>();
  }
  index_t index(const std::string& field) const { return to_index(get(field), field); }
  std::vector<index_t> indices(const std::string& field) const {
    std::vector<index_t> values;
    for (const json& value : array(field)) values.push_back(to_index(value, field));
    return values;
  }
  const json& array(const std::string& field) const {
    const json& value = get(field);
    if (!value.is_array()) bad(field, "is not an array");
    return value;
  }
  std::uint32_t crc(const std::string& field) const {
    const std::string value = text(field);
    if (value.size() != 8 || value.find_first_not_of("0123456789abcdef") != std::string::npos) {
      bad(field, "is not eight hexadecimal digits");
    }
    return static_cast<std::uint32_t>(std::stoul(value, nullptr, 16));
  }
  std::map<std::string, std::string> texts(const std::string& field) const {
    std::map<std::string, std::string> values;
    const json& members = get(field);
    const Fields checked(members, field, path_);
    for (const auto& member : members.items()) values[member.key()] = checked.text(member.key());
    return values;
  }

 private:
  index_t to_index(const json& value, const std::string& field) const {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<index_t>::max());
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most)
      bad(field, "is not a natural number");
    return value.get<index_t>();
  }

  const json& object_;
  std::string place_;
  const std::string& path_;
};

CheckpointMeta parse_meta(const Fields& fields) {
  CheckpointMeta meta;
  meta.step = fields.index("step");
  meta.consumed_samples = fields.index("consumed_samples");
  meta.incarnation = fields.index("incarnation");
  meta.seed = fields.natural("seed");
  meta.corpus_fingerprint = fields.text("corpus_fingerprint");
  meta.options = fields.texts("options");
  meta.layout = fields.texts("layout");
  return meta;
}

// "rank-" and at least five digits and ".h5": nothing that leads out of the directory.
bool is_file_name(const std::string& name) {
  if (name.size() < 13 || name.compare(0, 5, "rank-") != 0) return false;
  if (name.compare(name.size() - 3, 3, ".h5") != 0) return false;
  return name.find_first_not_of("0123456789", 5) == name.size() - 3;
}

TileFile parse_file(const Fields& fields) {
  TileFile file{
      .name = fields.text("name"), .bytes = fields.natural("bytes"), .crc = fields.crc("crc32c")};
  if (!is_file_name(file.name)) fields.bad("name", "is not rank-NNNNN.h5");
  return file;
}

std::vector<index_t> parse_shape(const Fields& fields, const std::string& name) {
  std::vector<index_t> shape = fields.indices(name);
  if (shape.empty() || shape.size() > Shape::max_dims) fields.bad(name, "is not a shape");
  index_t count = 1;
  for (index_t size : shape) {
    // 2^56 elements of 8 bytes: products below stay far from overflow.
    if (size < 1 || size > (index_t{1} << 56) / count) fields.bad(name, "is not a shape");
    count *= size;
  }
  return shape;
}

index_t columns_of(const std::vector<index_t>& shape) {
  index_t columns = 1;
  for (std::size_t dim = 1; dim < shape.size(); ++dim) columns *= shape[dim];
  return columns;
}

Rectangle parse_rectangle(const Fields& fields, const std::vector<index_t>& shape) {
  const std::vector<index_t> rows = fields.indices("rows"), columns = fields.indices("columns");
  if (rows.size() != 2 || rows[0] >= rows[1] || rows[1] > shape[0])
    fields.bad("rows", "do not lie in the parameter");
  if (columns.size() != 2 || columns[0] >= columns[1] || columns[1] > columns_of(shape)) {
    fields.bad("columns", "do not lie in the parameter");
  }
  return {rows[0], rows[1], columns[0], columns[1]};
}

TileKind parse_kind(const Fields& fields) {
  const std::string text = fields.text("kind");
  for (TileKind kind : {TileKind::weight, TileKind::m, TileKind::v}) {
    if (text == name_of(kind)) return kind;
  }
  fields.bad("kind", "is none of weight, m, v");
}

DType parse_dtype(const Fields& fields) {
  const std::string text = fields.text("dtype");
  for (DType dtype : {DType::f32, DType::f64}) {
    if (text == lockstep::name_of(dtype)) return dtype;
  }
  fields.bad("dtype", "is none of fp32, fp64");
}

Tile parse_tile(const Fields& fields, const Manifest& manifest) {
  Tile tile;
  tile.parameter = fields.text("parameter");
  tile.kind = parse_kind(fields);
  tile.dataset = fields.text("dataset");
  tile.offset = fields.natural("offset");
  tile.dtype = parse_dtype(fields);
  tile.crc = fields.crc("crc32c");
  const auto shape = manifest.parameters.find(tile.parameter);
  if (shape == manifest.parameters.end())
    fields.bad("parameter", "is not in the list of parameters");
  tile.rectangle = parse_rectangle(fields, shape->second);
  const std::uint64_t file = fields.natural("file");
  if (file >= manifest.files.size()) fields.bad("file", "is not in the list of files");
  tile.file = static_cast<std::size_t>(file);
  if (fields.natural("bytes") != tile.bytes())
    fields.bad("bytes", "do not fit rows, columns and dtype");
  const std::uint64_t file_bytes = manifest.files[tile.file].bytes;
  if (tile.offset > file_bytes || tile.bytes() > file_bytes - tile.offset)
    fields.bad("offset", "leads past the file's end");
  return tile;
}

std::string numbered(const char* name, std::size_t number) {
  return build_string(name, "[", number, "]");
}

Manifest parse_fields(const json& object, const std::string& path) {
  const Fields fields(object, "", path);
  if (fields.text("format") != format_name) fields.bad("format", "is not lockstep-checkpoint");
  if (fields.natural("version") != format_version)
    fields.bad("version", "is not 1, the one this program reads");
  Manifest manifest;
  manifest.meta = parse_meta(fields);
  for (const json& file : fields.array("files")) {
    manifest.files.push_back(
        parse_file(Fields(file, numbered("files", manifest.files.size()), path)));
  }
  const json& shapes = fields.get("parameters");
  const Fields parameters(shapes, "parameters", path);
  for (const auto& shape : shapes.items())
    manifest.parameters[shape.key()] = parse_shape(parameters, shape.key());
  for (const json& tile : fields.array("tiles")) {
    manifest.tiles.push_back(
        parse_tile(Fields(tile, numbered("tiles", manifest.tiles.size()), path), manifest));
  }
  return manifest;
}

// ---- checks over the whole table ----

void check_files(const Manifest& manifest, const std::string& path) {
  std::vector<std::string> names;
  for (const TileFile& file : manifest.files) names.push_back(file.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) fail(path, ": names the file ", *twice, " twice");
  for (const std::vector<const Tile*>& tiles : tiles_by_file(manifest)) {
    for (std::size_t i = 1; i < tiles.size(); ++i) {
      if (tiles[i - 1]->offset + tiles[i - 1]->bytes() > tiles[i]->offset) {
        fail(path, ": ", describe(*tiles[i - 1]), " and ", describe(*tiles[i]),
             " share bytes of one file");
      }
    }
  }
}

// The tiles of one parameter and kind, none of which may meet another. Sorted by first row, a tile
// can only meet those that start before it ends.
void check_cover(std::vector<const Tile*>& tiles,
                 const std::string& parameter,
                 const std::vector<index_t>& shape,
                 const std::string& path) {
  std::sort(tiles.begin(), tiles.end(),
            [](const Tile* a, const Tile* b) { return a->rectangle.row0 < b->rectangle.row0; });
  index_t covered = 0;
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    const Rectangle& a = tiles[i]->rectangle;
    covered += a.count();
    for (std::size_t j = i + 1; j < tiles.size() && tiles[j]->rectangle.row0 < a.row1; ++j) {
      const Rectangle& b = tiles[j]->rectangle;
      if (a.col0 < b.col1 && b.col0 < a.col1)
        fail(path, ": ", describe(*tiles[i]), " is there twice");
    }
  }
  const index_t count = shape[0] * columns_of(shape);
  if (covered != count) {
    fail(path, ": ", parameter, " is not whole: ", covered, " of ", count, " elements are there");
  }
}

void check_covers(const Manifest& manifest, const std::string& path) {
  std::map<std::pair<std::string, TileKind>, std::vector<const Tile*>> tiles;
  for (const auto& parameter : manifest.parameters) {
    for (TileKind kind : {TileKind::weight, TileKind::m, TileKind::v})
      tiles[{parameter.first, kind}];
  }
  for (const Tile& tile : manifest.tiles) tiles[{tile.parameter, tile.kind}].push_back(&tile);
  for (auto& [key, list] : tiles) {
    const std::string name = build_string(name_of(key.second), " of ", key.first);
    check_cover(list, name, manifest.parameters.at(key.first), path);
  }
}

}  // namespace

Manifest parse_part(const std::string& text, const std::string& path) {
  const std::size_t length = closing_lines(0).size();
  if (text.size() <= length) fail(path, " is cut short: ", text.size(), " bytes");
  const std::size_t start = text.size() - length;
  if (text.compare(start, length, closing_lines(crc32c(text.data(), start))) != 0) {
    fail(path, " is damaged: its content does not have the CRC-32C of its last line");
  }
  json object;
  try {
    object = json::parse(text);
  } catch (const json::exception& error) {
    fail(path, " is not JSON: ", error.what());
  }
  Manifest manifest = parse_fields(object, path);
  check_files(manifest, path);
  return manifest;
}

Manifest parse_manifest(const std::string& text, const std::string& path) {
  Manifest manifest = parse_part(text, path);
  check_covers(manifest, path);
  return manifest;
}

}  // namespace lockstep::checkpoint
