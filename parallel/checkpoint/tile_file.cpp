#include "parallel/checkpoint/tile_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/checksum.hpp"
#include "core/error.hpp"

namespace lockstep::checkpoint {
namespace {

// Large enough for a disk to stream, small enough to stay in the second-level cache until its CRC
// is taken.
constexpr std::size_t chunk_bytes = std::size_t{1} << 20;

}  // namespace

TileReader::TileReader(const std::string& path) : path_(path) {
  do {
    file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  } while (file_ < 0 && errno == EINTR);
  if (file_ < 0) fail("cannot open checkpoint file ", path, ": ", std::strerror(errno));
}

TileReader::~TileReader() { close(file_); }

std::uint64_t TileReader::bytes() const {
  struct stat status {};
  if (fstat(file_, &status) != 0)
    fail("cannot read checkpoint file ", path_, ": ", std::strerror(errno));
  return static_cast<std::uint64_t>(status.st_size);
}

void TileReader::read(std::uint64_t offset, void* to, std::size_t bytes) const {
  auto* at = static_cast<std::byte*>(to);
  while (bytes > 0) {
    const ssize_t n = pread(file_, at, bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      fail("cannot read checkpoint file ", path_, " at byte ", offset, ": ", std::strerror(errno));
    if (n == 0) fail("checkpoint file ", path_, " is cut short: it ends at byte ", offset);
    at += n;
    offset += static_cast<std::uint64_t>(n);
    bytes -= static_cast<std::size_t>(n);
  }
}

Checksums checksums_of(const std::string& path, const std::vector<const Tile*>& tiles) {
  const TileReader reader(path);
  Checksums sums{
      .bytes = reader.bytes(), .file = 0, .tiles = std::vector<std::uint32_t>(tiles.size())};
  std::vector<std::byte> buffer(chunk_bytes);
  std::size_t next = 0;
  for (std::uint64_t at = 0; at < sums.bytes;) {
    const auto end_of = [&](const Tile& tile) { return tile.offset + tile.bytes(); };
    while (next < tiles.size() && end_of(*tiles[next]) <= at) ++next;
    const bool in_tile = next < tiles.size() && tiles[next]->offset <= at;
    std::uint64_t end = std::min<std::uint64_t>(at + chunk_bytes, sums.bytes);
    if (next < tiles.size())
      end = std::min(end, in_tile ? end_of(*tiles[next]) : tiles[next]->offset);
    // Each byte is summed once, for its tile and for the file.
    reader.read(at, buffer.data(), static_cast<std::size_t>(end - at));
    const std::uint32_t crc = crc32c(buffer.data(), static_cast<std::size_t>(end - at));
    sums.file = crc32c_joined(sums.file, crc, end - at);
    if (in_tile) sums.tiles[next] = crc32c_joined(sums.tiles[next], crc, end - at);
    at = end;
  }
  return sums;
}

void add_checksum(TileFile& file, const std::string& path, const std::vector<const Tile*>& tiles) {
  const TileReader reader(path);
  std::vector<std::byte> buffer;
  std::uint64_t at = 0;
  const auto add_until = [&](std::uint64_t end) {
    buffer.resize(static_cast<std::size_t>(end - at));
    reader.read(at, buffer.data(), buffer.size());
    file.crc = crc32c(buffer.data(), buffer.size(), file.crc);
    at = end;
  };
  file.bytes = reader.bytes();
  file.crc = 0;
  for (const Tile* tile : tiles) {
    add_until(tile->offset);
    file.crc = crc32c_joined(file.crc, tile->crc, tile->bytes());
    at += tile->bytes();
  }
  add_until(file.bytes);
}

void check_file(const std::string& directory,
                const TileFile& file,
                const std::vector<const Tile*>& tiles) {
  const std::string path = directory + "/" + file.name;
  const Checksums sums = checksums_of(path, tiles);
  if (sums.bytes != file.bytes) {
    fail("checkpoint file ", path, " has ", sums.bytes, " bytes, the manifest says ", file.bytes);
  }
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    if (sums.tiles[i] != tiles[i]->crc) fail_damaged(path, *tiles[i]);
  }
  if (sums.file != file.crc) {
    fail("checkpoint file ", path,
         " is damaged outside its tensors: its CRC-32C is not the manifest's");
  }
}

void fail_damaged(const std::string& path, const Tile& tile) {
  fail("checkpoint file ", path, " is damaged: ", describe(tile), " (dataset ", tile.dataset,
       ") does not have the manifest's CRC-32C");
}

}  // namespace lockstep::checkpoint
