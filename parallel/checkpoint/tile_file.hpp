// The bytes of a tile file, by pread at the manifest's offsets: damaged HDF5 structure cannot
// mislead a reader.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/checkpoint/manifest.hpp"

namespace lockstep::checkpoint {

class TileReader {
 public:
  // Throws Error (failed) naming the path, as all of these do.
  explicit TileReader(const std::string& path);
  ~TileReader();
  TileReader(const TileReader&) = delete;
  TileReader& operator=(const TileReader&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t bytes() const;
  void read(std::uint64_t offset, void* to, std::size_t bytes) const;

 private:
  std::string path_;
  int file_ = -1;
};

// CRC-32C of a whole file and of tiles of it (by offset, apart), in one pass.
struct Checksums {
  std::uint64_t bytes = 0;
  std::uint32_t file = 0;
  std::vector<std::uint32_t> tiles;
};
Checksums checksums_of(const std::string& path, const std::vector<const Tile*>& tiles);
// Size and CRC-32C of a file whose tiles (by offset, apart) have the CRCs they say: reads only what
// lies between them.
void add_checksum(TileFile& file, const std::string& path, const std::vector<const Tile*>& tiles);

// Throws Error (failed) naming file and tensor unless size, whole-file CRC and the CRC of every
// tile are the manifest's.
void check_file(const std::string& directory,
                const TileFile& file,
                const std::vector<const Tile*>& tiles);

[[noreturn]] void fail_damaged(const std::string& path, const Tile& tile);

}  // namespace lockstep::checkpoint
