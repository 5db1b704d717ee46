// The few HDF5 calls the project makes: contiguous little-endian datasets and scalar attributes,
// one writer a file, one session a file (never reopened for writing). libver v18 to latest, no
// times, so that equal data are equal bytes. Every call that fails throws Error naming the file and
// the object: `refused` on opening and reading, `failed` on writing. Serial HDF5; calls
// from several threads go in one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.hpp"

namespace lockstep::hdf5 {

struct Dataset {
  std::string name;  // "/tokens"
  std::size_t item_bytes = 0;
  bool is_float = false, is_signed = false;
  std::vector<index_t> shape;
  std::uint64_t offset = 0;  // of the first byte in the file; 0 when not contiguous or empty
};

// Element types of files.
enum class Type { u8, u16, u32, u64, i32, i64, f32, f64 };
std::size_t size_of(Type type);

class Writer {
 public:
  explicit Writer(const std::string& path);  // truncates
  ~Writer();                                 // closes without a word: call close() for the errors
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Intermediate groups are made. Early allocation, no fill, 4 KiB aligned from 64 KiB on. Returns
  // the offset of its bytes.
  std::uint64_t create(const std::string& name, Type type, const std::vector<index_t>& shape);
  // Elements [first, first + count) of a one-dimensional dataset made by create(); at most 1 GiB
  // goes in one HDF5 call.
  void write(const std::string& name, Type type, index_t first, index_t count, const void* data);
  // create() and the whole of it, any number of dimensions. Returns the offset of its bytes.
  std::uint64_t write_all(const std::string& name,
                          Type type,
                          const std::vector<index_t>& shape,
                          const void* data);
  void attribute(const std::string& name, const std::string& value);
  void attribute(const std::string& name, std::uint64_t value);
  void close();  // flushes and closes, checking both; does not fsync

 private:
  std::string path_;
  std::int64_t file_ = -1;
};

class Reader {
 public:
  explicit Reader(const std::string& path);
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  bool has(const std::string& name) const;
  Dataset dataset(const std::string& name) const;
  std::vector<std::string> names(const std::string& group) const;  // members, in name order
  // Converts to T as HDF5 does. Whole dataset.
  template <typename T>
  std::vector<T> read(const std::string& name) const;
  bool has_attribute(const std::string& name) const;  // of the root group
  std::string string_attribute(const std::string& name) const;
  double number_attribute(const std::string& name) const;  // integer or float

 private:
  std::string path_;
  std::int64_t file_ = -1;
};

}  // namespace lockstep::hdf5
