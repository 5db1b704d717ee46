// One shard: an HDF5 file of contiguous little-endian datasets, each with a table of CRC-32C, one
// per MiB.
//   /tokens u16|u32 (T)   /doc_offsets u32 (D+1)   /doc_ids u64 (D)   and with sentences
//   /sent_offsets u32 (Q+1)   /doc_sents u32 (D+1)   /crc/<name> u32 (ceil(bytes / 1 MiB))
// The reader asks HDF5 once where the datasets lie; after that there is only memory. Reading is
// thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/checksum.hpp"
#include "core/hdf5.hpp"
#include "data/manifest.hpp"
#include "data/mapped_file.hpp"

namespace lockstep {

constexpr std::uint64_t crc_block_bytes = std::uint64_t{1} << 20;

enum class Column { tokens, doc_offsets, doc_ids, sent_offsets, doc_sents };
constexpr int num_columns = 5;
constexpr std::array<Column, num_columns> all_columns = {
    Column::tokens, Column::doc_offsets, Column::doc_ids, Column::sent_offsets, Column::doc_sents};
std::string name_of(Column column);  // "/tokens"
// Elements of a column in a shard of so many documents, sentences and tokens.
std::uint64_t column_length(Column column, const ShardEntry& entry);
bool is_sentence_column(Column column);

// Fed with the shards in manifest order, this is the corpus fingerprint: counts and CRC tables, not
// file names.
void add_to_fingerprint(Sha256& sha,
                        const ShardEntry& entry,
                        Column column,
                        const std::vector<std::uint32_t>& crcs);

// Writes path + ".tmp" column by column, in any interleaving, with one MiB of memory a column.
class ShardWriter {
 public:
  // entry: file, split and counts are known before the first token. Fails at once when the disk has
  // no room for it.
  ShardWriter(const std::string& directory, const Manifest& manifest, const ShardEntry& entry);

  void append(Column column, const void* values, std::uint64_t count);
  // Checks that all columns are full; closes, fsyncs, renames. Fills in bytes and sha256.
  ShardEntry finish(const Manifest& manifest,
                    std::uint64_t index,
                    std::uint64_t shard_count,
                    Sha256& fingerprint);

 private:
  struct Open {
    hdf5::Type type = hdf5::Type::u32;
    std::uint64_t length = 0, written = 0;  // elements
    std::vector<std::byte> block;           // not yet written, below one MiB
    std::vector<std::uint32_t> crcs;
  };

  void flush(Column column);
  Open& at(Column column) { return columns_[static_cast<std::size_t>(column)]; }

  ShardEntry entry_;
  std::string path_;
  std::array<Open, num_columns> columns_;
  std::unique_ptr<hdf5::Writer> file_;
};

class ShardReader {
 public:
  // Compares the size with the manifest's before mapping. Error (refused) naming the file.
  ShardReader(const std::string& directory, const Manifest& manifest, const ShardEntry& entry);

  const ShardEntry& entry() const { return entry_; }
  const std::string& path() const { return file_.path(); }
  bool has_sentences() const { return has_sentences_; }

  // Element `index` of a u32 or u64 column, after checking its block.
  std::uint32_t u32(Column column, std::uint64_t index) const;
  std::uint64_t document_id(std::uint64_t document) const;
  // Tokens [first, first + count), widened.
  void read_tokens(std::uint64_t first, std::uint64_t count, std::int32_t* ids) const;
  // Index of the last element of an ascending u32 column that is <= value; the first element is 0.
  std::uint64_t last_at_most(Column column, std::uint64_t value) const;

  std::vector<std::uint32_t> crcs(Column column) const;
  // Checks every block and every offset. Error (failed) naming file, dataset and block.
  void check_all() const;

 private:
  struct Mapped {
    std::string name;
    std::uint64_t item_bytes = 0, length = 0;
    const std::byte* data = nullptr;
    const std::byte* crcs = nullptr;
    // 1: checked. Two threads may check a block at the same time, with the same result.
    mutable std::vector<std::atomic<std::uint8_t>> checked;
  };

  void locate(const hdf5::Reader& file, Column column);
  void check(Column column, std::uint64_t first, std::uint64_t count) const;
  void check_block(Column column, std::uint64_t block) const;
  void check_ids(const Mapped& tokens, std::uint64_t block) const;
  void check_ascending(Column column, std::uint64_t last) const;
  const Mapped& at(Column column) const { return columns_[static_cast<std::size_t>(column)]; }

  ShardEntry entry_;
  MappedFile file_;
  bool has_sentences_ = false;
  std::uint64_t token_bytes_ = 2, vocab_size_ = 0;
  std::array<Mapped, num_columns> columns_;
};

}  // namespace lockstep
