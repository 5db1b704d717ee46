#include "data/shard.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include "core/durable_file.hpp"
#include "core/error.hpp"

namespace lockstep {
namespace {

std::uint64_t num_blocks(std::uint64_t bytes) {
  return (bytes + crc_block_bytes - 1) / crc_block_bytes;
}

hdf5::Type type_of(Column column, std::uint64_t token_bytes) {
  if (column == Column::tokens) return token_bytes == 2 ? hdf5::Type::u16 : hdf5::Type::u32;
  return column == Column::doc_ids ? hdf5::Type::u64 : hdf5::Type::u32;
}

// Contiguous files may put data at any address: loads go through memcpy, which costs nothing.
template <typename T>
T load(const std::byte* data, std::uint64_t index) {
  T value;
  std::memcpy(&value, data + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void widen(const std::byte* data, std::uint64_t count, std::int32_t* ids) {
  for (std::uint64_t i = 0; i < count; ++i) ids[i] = static_cast<std::int32_t>(load<T>(data, i));
}

template <typename T>
std::uint64_t largest(const std::byte* data, std::uint64_t count) {
  T most = 0;
  for (std::uint64_t i = 0; i < count; ++i) most = std::max(most, load<T>(data, i));
  return most;
}

// HDF5 cannot be closed in order once the disk is full, so the room is asked for before it opens
// the file.
void require_room(const std::string& path, std::uint64_t bytes) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) fail("cannot create ", path, ": ", std::strerror(errno));
  const bool full = fallocate(file, 0, 0, static_cast<off_t>(bytes)) != 0 &&
                    (errno == ENOSPC || errno == EFBIG || errno == EDQUOT);
  const int error = errno;
  close(file);
  if (full) fail("cannot write ", bytes, " bytes to ", path, ": ", std::strerror(error));
}

}  // namespace

std::string name_of(Column column) {
  constexpr std::array<const char*, num_columns> names = {"/tokens", "/doc_offsets", "/doc_ids",
                                                          "/sent_offsets", "/doc_sents"};
  return names[static_cast<std::size_t>(column)];
}

bool is_sentence_column(Column column) {
  return column == Column::sent_offsets || column == Column::doc_sents;
}

std::uint64_t column_length(Column column, const ShardEntry& entry) {
  switch (column) {
    case Column::tokens:
      return entry.tokens;
    case Column::doc_offsets:
    case Column::doc_sents:
      return entry.documents + 1;
    case Column::doc_ids:
      return entry.documents;
    case Column::sent_offsets:
      return entry.sentences + 1;
  }
  return 0;
}

void add_to_fingerprint(Sha256& sha,
                        const ShardEntry& entry,
                        Column column,
                        const std::vector<std::uint32_t>& crcs) {
  const std::string about =
      build_string(entry.split, " ", name_of(column), " ", column_length(column, entry), "\n");
  sha.update(about.data(), about.size());
  if (!crcs.empty()) sha.update(crcs.data(), crcs.size() * sizeof(std::uint32_t));
}

ShardWriter::ShardWriter(const std::string& directory,
                         const Manifest& manifest,
                         const ShardEntry& entry)
    : entry_(entry), path_(directory + "/" + entry.file) {
  constexpr std::uint64_t metadata_bytes = 64 * 1024;
  std::uint64_t bytes = metadata_bytes;
  for (Column column : all_columns) {
    if (is_sentence_column(column) && !manifest.info.has_sentences) continue;
    at(column).type = type_of(column, manifest.token_bytes);
    at(column).length = column_length(column, entry);
    bytes += at(column).length * size_of(at(column).type) + 4096;
  }
  require_room(path_ + ".tmp", bytes);
  file_ = std::make_unique<hdf5::Writer>(path_ + ".tmp");
  for (Column column : all_columns) {
    if (is_sentence_column(column) && !manifest.info.has_sentences) continue;
    file_->create(name_of(column), at(column).type, {static_cast<index_t>(at(column).length)});
  }
}

void ShardWriter::append(Column column, const void* values, std::uint64_t count) {
  Open& open = at(column);
  const auto* from = static_cast<const std::byte*>(values);
  std::uint64_t left = count * size_of(open.type);
  while (left > 0) {
    const std::uint64_t take = std::min(left, crc_block_bytes - open.block.size());
    open.block.insert(open.block.end(), from, from + take);
    from += take;
    left -= take;
    if (open.block.size() == crc_block_bytes) flush(column);
  }
}

void ShardWriter::flush(Column column) {
  Open& open = at(column);
  if (open.block.empty()) return;
  const std::uint64_t count = open.block.size() / size_of(open.type);
  if (open.written + count > open.length)
    fail(path_, ": more of ", name_of(column), " than announced");
  open.crcs.push_back(crc32c(open.block.data(), open.block.size()));
  file_->write(name_of(column), open.type, static_cast<index_t>(open.written),
               static_cast<index_t>(count), open.block.data());
  open.written += count;
  open.block.clear();
}

ShardEntry ShardWriter::finish(const Manifest& manifest,
                               std::uint64_t index,
                               std::uint64_t shard_count,
                               Sha256& fingerprint) {
  for (Column column : all_columns) {
    if (is_sentence_column(column) && !manifest.info.has_sentences) continue;
    flush(column);
    const Open& open = at(column);
    if (open.written != open.length) {
      fail(path_, ": ", open.written, " of ", open.length, " elements of ", name_of(column));
    }
    file_->write_all("/crc" + name_of(column), hdf5::Type::u32,
                     {static_cast<index_t>(open.crcs.size())}, open.crcs.data());
    add_to_fingerprint(fingerprint, entry_, column, open.crcs);
  }
  const CorpusInfo& info = manifest.info;
  file_->attribute("format", std::string(Manifest::format));
  file_->attribute("format_major", Manifest::format_major);
  file_->attribute("format_minor", Manifest::format_minor);
  file_->attribute("corpus_uuid", manifest.uuid);
  file_->attribute("split", entry_.split);
  file_->attribute("shard_index", index);
  file_->attribute("shard_count", shard_count);
  file_->attribute("n_tokens", entry_.tokens);
  file_->attribute("n_docs", entry_.documents);
  file_->attribute("n_sents", entry_.sentences);
  file_->attribute("token_bytes", manifest.token_bytes);
  file_->attribute("vocab_size", static_cast<std::uint64_t>(info.vocab_size));
  if (info.specials.eod) file_->attribute("eod_id", static_cast<std::uint64_t>(*info.specials.eod));
  file_->attribute("eod_appended", std::uint64_t{manifest.eod_appended});
  file_->attribute("tokenizer_kind", info.tokenizer_kind);
  file_->attribute("tokenizer_sha256", manifest.info.tokenizer_sha256);
  file_->attribute("sentence_rule", manifest.sentence_rule);
  file_->attribute("source", info.name);
  file_->attribute("tool_version", manifest.tool_version);
  file_->close();
  fsync_file(path_ + ".tmp");
  rename_durably(path_ + ".tmp", path_);
  const FileEntry measured = measure_file(path_);
  entry_.bytes = measured.bytes;
  entry_.sha256 = measured.sha256;
  return entry_;
}

ShardReader::ShardReader(const std::string& directory,
                         const Manifest& manifest,
                         const ShardEntry& entry)
    : entry_(entry),
      has_sentences_(manifest.info.has_sentences),
      token_bytes_(manifest.token_bytes),
      vocab_size_(static_cast<std::uint64_t>(manifest.info.vocab_size)) {
  const std::string path = directory + "/" + entry.file;
  std::error_code error;
  const std::uint64_t bytes = std::filesystem::file_size(path, error);
  require(!error, "shard ", path, " cannot be read: ", error.message(), ": build the corpus again");
  require(bytes == entry.bytes, "shard ", path, " has ", bytes, " bytes, its manifest says ",
          entry.bytes, ": the file is damaged: build the corpus again");
  const hdf5::Reader file(path);
  require(
      file.has_attribute("corpus_uuid") && file.string_attribute("corpus_uuid") == manifest.uuid,
      "shard ", path, " is of another corpus: its corpus_uuid is not the manifest's");
  file_ = MappedFile(path);
  for (Column column : all_columns) {
    if (!is_sentence_column(column) || has_sentences_) locate(file, column);
  }
}

void ShardReader::locate(const hdf5::Reader& file, Column column) {
  const auto find = [&](const std::string& name, std::uint64_t item_bytes, std::uint64_t length) {
    require(file.has(name), path(), " has no dataset ", name, ": build the corpus again");
    const hdf5::Dataset found = file.dataset(name);
    require(!found.is_float && !found.is_signed && found.item_bytes == item_bytes &&
                found.shape.size() == 1 && static_cast<std::uint64_t>(found.shape[0]) == length,
            path(), ": dataset ", name, " is not ", length, " unsigned integers of ", item_bytes,
            " bytes");
    const std::uint64_t bytes = item_bytes * length;
    require(length == 0 ||
                (found.offset > 0 && bytes <= file_.size() && found.offset <= file_.size() - bytes),
            path(), ": dataset ", name, " does not lie in the file as one piece");
    return file_.data() + found.offset;
  };
  Mapped& mapped = columns_[static_cast<std::size_t>(column)];
  mapped.name = name_of(column);
  mapped.item_bytes = size_of(type_of(column, token_bytes_));
  mapped.length = column_length(column, entry_);
  mapped.data = find(mapped.name, mapped.item_bytes, mapped.length);
  const std::uint64_t blocks = num_blocks(mapped.item_bytes * mapped.length);
  mapped.crcs = find("/crc" + mapped.name, sizeof(std::uint32_t), blocks);
  mapped.checked = std::vector<std::atomic<std::uint8_t>>(blocks);
}

void ShardReader::check(Column column, std::uint64_t first, std::uint64_t count) const {
  const Mapped& mapped = at(column);
  assert(first + count <= mapped.length);
  if (count == 0) return;
  const std::uint64_t last = ((first + count) * mapped.item_bytes - 1) / crc_block_bytes;
  for (std::uint64_t block = first * mapped.item_bytes / crc_block_bytes; block <= last; ++block) {
    if (mapped.checked[block].load(std::memory_order_acquire) == 0) check_block(column, block);
  }
}

void ShardReader::check_block(Column column, std::uint64_t block) const {
  const Mapped& mapped = at(column);
  const std::uint64_t begin = block * crc_block_bytes;
  const std::uint64_t bytes = std::min(crc_block_bytes, mapped.length * mapped.item_bytes - begin);
  file_.will_need(static_cast<std::uint64_t>(mapped.data - file_.data()) + begin, bytes);
  if (crc32c(mapped.data + begin, bytes) != load<std::uint32_t>(mapped.crcs, block)) {
    fail("shard ", path(), " is damaged: block ", block, " of dataset ", mapped.name,
         " does not match its checksum: build the corpus again");
  }
  if (column == Column::tokens) check_ids(mapped, block);
  mapped.checked[block].store(1, std::memory_order_release);
}

// An id outside the vocabulary would be read past the end of the embedding.
void ShardReader::check_ids(const Mapped& tokens, std::uint64_t block) const {
  const std::uint64_t first = block * crc_block_bytes / tokens.item_bytes;
  const std::uint64_t count = std::min(crc_block_bytes / tokens.item_bytes, tokens.length - first);
  const std::byte* data = tokens.data + first * tokens.item_bytes;
  const std::uint64_t most = tokens.item_bytes == 2 ? largest<std::uint16_t>(data, count)
                                                    : largest<std::uint32_t>(data, count);
  if (most >= vocab_size_) {
    fail("shard ", path(), ": block ", block, " of dataset /tokens holds id ", most,
         ", the vocabulary has ", vocab_size_);
  }
}

std::uint32_t ShardReader::u32(Column column, std::uint64_t index) const {
  check(column, index, 1);
  return load<std::uint32_t>(at(column).data, index);
}

std::uint64_t ShardReader::document_id(std::uint64_t document) const {
  check(Column::doc_ids, document, 1);
  return load<std::uint64_t>(at(Column::doc_ids).data, document);
}

void ShardReader::read_tokens(std::uint64_t first, std::uint64_t count, std::int32_t* ids) const {
  check(Column::tokens, first, count);
  const std::byte* data = at(Column::tokens).data + first * token_bytes_;
  if (token_bytes_ == 2) {
    widen<std::uint16_t>(data, count, ids);
  } else {
    widen<std::uint32_t>(data, count, ids);
  }
}

std::uint64_t ShardReader::last_at_most(Column column, std::uint64_t value) const {
  std::uint64_t low = 0, high = at(column).length;  // element low is <= value, element high is not
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    (u32(column, middle) <= value ? low : high) = middle;
  }
  return low;
}

std::vector<std::uint32_t> ShardReader::crcs(Column column) const {
  std::vector<std::uint32_t> table;
  for (std::uint64_t i = 0; i < at(column).checked.size(); ++i)
    table.push_back(load<std::uint32_t>(at(column).crcs, i));
  return table;
}

void ShardReader::check_ascending(Column column, std::uint64_t last) const {
  std::uint32_t before = 0;
  for (std::uint64_t i = 0; i < at(column).length; ++i) {
    const std::uint32_t value = u32(column, i);
    if (value < before || (i == 0 && value != 0 && column != Column::sent_offsets)) {
      fail("shard ", path(), ": element ", i, " of dataset ", name_of(column), " is ", value,
           " after ", before);
    }
    before = value;
  }
  if (before != last)
    fail("shard ", path(), ": dataset ", name_of(column), " ends with ", before, ", not ", last);
}

void ShardReader::check_all() const {
  for (Column column : all_columns) {
    if (is_sentence_column(column) && !has_sentences_) continue;
    check(column, 0, at(column).length);
  }
  check_ascending(Column::doc_offsets, entry_.tokens);
  if (!has_sentences_) return;
  check_ascending(Column::sent_offsets, entry_.tokens);
  check_ascending(Column::doc_sents, entry_.sentences);
}

}  // namespace lockstep
