#include "core/hdf5.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include <hdf5.h>

#include "core/error.hpp"

namespace lockstep::hdf5 {
namespace {

// Closes an HDF5 identifier with the function of its kind.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~Handle() { close(); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  operator hid_t() const { return id_; }  // NOLINT: HDF5 calls take the id
  // False when closing failed: small writes reach the file only when their dataset is closed.
  bool close() {
    const hid_t id = std::exchange(id_, -1);
    return id < 0 || close_(id) >= 0;
  }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

// HDF5 need not be built for threads, and a checkpoint is written beside the loader: one call at a
// time.
std::recursive_mutex& one_at_a_time() {
  static std::recursive_mutex mutex;
  return mutex;
}
using Lock = std::lock_guard<std::recursive_mutex>;

// Before every first call on a file: no file locks (they fail on some NFS and Lustre mounts) and no
// error stack on stderr. In a thread-safe HDF5 the latter is a setting of the thread, so it is made
// each time.
void prepare() {
  static const bool once = [] {
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0);
    // After a failed H5Fclose (a full disk) HDF5 1.10 crashes in its exit handler. All files are
    // closed by their owners.
    H5dont_atexit();
    H5open();
    return true;
  }();
  (void)once;
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  errno = 0;
}

// The operating system's words for a full or broken disk. HDF5 1.10 quotes them in the description
// of its file driver; where it does not, errno is still what the failed system call left.
std::string system_reason(const std::string& description, int error) {
  static constexpr char quoted[] = "error message = '";
  if (const std::size_t start = description.find(quoted); start != std::string::npos) {
    const std::size_t from = start + sizeof quoted - 1;
    return description.substr(from, description.find('\'', from) - from);
  }
  const bool disk = error == ENOSPC || error == EDQUOT || error == EFBIG || error == EIO;
  return disk ? std::strerror(error) : "";
}

// One line: the operating system's reason when there is one, else the innermost description of the
// error stack.
std::string reason() {
  const int error = errno;
  std::string innermost;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* entry, void* data) -> herr_t {
        if (n == 0 && entry->desc != nullptr) *static_cast<std::string*>(data) = entry->desc;
        return 0;
      },
      &innermost);
  H5Eclear2(H5E_DEFAULT);
  if (const std::string text = system_reason(innermost, error); !text.empty()) return text;
  std::replace(innermost.begin(), innermost.end(), '\n', ' ');
  return innermost.empty() ? std::string("HDF5 gives no reason") : innermost;
}

hid_t file_type(Type type) {
  switch (type) {
    case Type::u8:
      return H5T_STD_U8LE;
    case Type::u16:
      return H5T_STD_U16LE;
    case Type::u32:
      return H5T_STD_U32LE;
    case Type::u64:
      return H5T_STD_U64LE;
    case Type::i32:
      return H5T_STD_I32LE;
    case Type::i64:
      return H5T_STD_I64LE;
    case Type::f32:
      return H5T_IEEE_F32LE;
    case Type::f64:
      return H5T_IEEE_F64LE;
  }
  return -1;
}

template <typename T>
hid_t memory_type();
template <>
hid_t memory_type<float>() {
  return H5T_NATIVE_FLOAT;
}
template <>
hid_t memory_type<double>() {
  return H5T_NATIVE_DOUBLE;
}
template <>
hid_t memory_type<std::int32_t>() {
  return H5T_NATIVE_INT32;
}
template <>
hid_t memory_type<std::int64_t>() {
  return H5T_NATIVE_INT64;
}
template <>
hid_t memory_type<std::uint8_t>() {
  return H5T_NATIVE_UINT8;
}
template <>
hid_t memory_type<std::uint16_t>() {
  return H5T_NATIVE_UINT16;
}
template <>
hid_t memory_type<std::uint32_t>() {
  return H5T_NATIVE_UINT32;
}
template <>
hid_t memory_type<std::uint64_t>() {
  return H5T_NATIVE_UINT64;
}

}  // namespace

std::size_t size_of(Type type) {
  switch (type) {
    case Type::u8:
      return 1;
    case Type::u16:
      return 2;
    case Type::u32:
    case Type::i32:
    case Type::f32:
      return 4;
    case Type::u64:
    case Type::i64:
    case Type::f64:
      return 8;
  }
  return 0;
}

Writer::Writer(const std::string& path) : path_(path) {
  const Lock lock(one_at_a_time());
  prepare();
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
  H5Pset_alignment(access, 65536, 4096);
  const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  H5Pset_obj_track_times(creation, false);
  file_ = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access);
  if (file_ < 0) fail("cannot create ", path, ": ", reason());
}

Writer::~Writer() {
  const Lock lock(one_at_a_time());
  if (file_ >= 0) H5Fclose(file_);
}

std::uint64_t Writer::create(const std::string& name,
                             Type type,
                             const std::vector<index_t>& shape) {
  const Lock lock(one_at_a_time());
  std::vector<hsize_t> sizes(shape.begin(), shape.end());
  const Handle space(H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr),
                     H5Sclose);
  const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_layout(creation, H5D_CONTIGUOUS);
  H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
  H5Pset_obj_track_times(creation, false);
  const Handle link(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(link, 1);
  const Handle dataset(
      H5Dcreate2(file_, name.c_str(), file_type(type), space, link, creation, H5P_DEFAULT),
      H5Dclose);
  if (dataset < 0) fail("cannot create dataset ", name, " in ", path_, ": ", reason());
  const haddr_t offset = H5Dget_offset(dataset);
  return offset == HADDR_UNDEF ? 0 : offset;
}

void Writer::write(const std::string& name,
                   Type type,
                   index_t first,
                   index_t count,
                   const void* data) {
  const Lock lock(one_at_a_time());
  Handle dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
  if (dataset < 0) fail("cannot open dataset ", name, " in ", path_, ": ", reason());
  const index_t most = (index_t{1} << 30) / static_cast<index_t>(size_of(type));
  const auto* bytes = static_cast<const std::byte*>(data);
  for (index_t done = 0; done < count;) {
    hsize_t start = static_cast<hsize_t>(first + done);
    hsize_t part = static_cast<hsize_t>(std::min(most, count - done));
    const Handle file_space(H5Dget_space(dataset), H5Sclose);
    H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &start, nullptr, &part, nullptr);
    const Handle memory_space(H5Screate_simple(1, &part, nullptr), H5Sclose);
    if (H5Dwrite(dataset, file_type(type), memory_space, file_space, H5P_DEFAULT,
                 bytes + static_cast<std::size_t>(done) * size_of(type)) < 0) {
      fail("cannot write dataset ", name, " in ", path_, ": ", reason());
    }
    done += static_cast<index_t>(part);
  }
  if (!dataset.close()) fail("cannot write dataset ", name, " in ", path_, ": ", reason());
}

std::uint64_t Writer::write_all(const std::string& name,
                                Type type,
                                const std::vector<index_t>& shape,
                                const void* data) {
  const Lock lock(one_at_a_time());
  const std::uint64_t offset = create(name, type, shape);
  index_t count = 1;
  for (index_t size : shape) count *= size;
  if (count == 0) return offset;
  Handle dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
  if (H5Dwrite(dataset, file_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0 ||
      !dataset.close()) {
    fail("cannot write dataset ", name, " in ", path_, ": ", reason());
  }
  return offset;
}

void Writer::attribute(const std::string& name, const std::string& value) {
  const Lock lock(one_at_a_time());
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, std::max<std::size_t>(value.size(), 1));
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  H5Tset_cset(type, H5T_CSET_UTF8);
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle attribute(H5Acreate2(file_, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
  const std::string padded = value.empty() ? std::string(1, '\0') : value;
  if (attribute < 0 || H5Awrite(attribute, type, padded.data()) < 0) {
    fail("cannot write attribute ", name, " in ", path_, ": ", reason());
  }
}

void Writer::attribute(const std::string& name, std::uint64_t value) {
  const Lock lock(one_at_a_time());
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle attribute(
      H5Acreate2(file_, name.c_str(), H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (attribute < 0 || H5Awrite(attribute, H5T_NATIVE_UINT64, &value) < 0) {
    fail("cannot write attribute ", name, " in ", path_, ": ", reason());
  }
}

void Writer::close() {
  const Lock lock(one_at_a_time());
  const bool flushed = H5Fflush(file_, H5F_SCOPE_GLOBAL) >= 0;
  const std::string why = flushed ? "" : reason();
  const bool closed = H5Fclose(file_) >= 0;
  file_ = -1;
  if (!flushed || !closed) fail("cannot finish ", path_, ": ", flushed ? reason() : why);
}

Reader::Reader(const std::string& path) : path_(path) {
  const Lock lock(one_at_a_time());
  prepare();
  file_ = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  require(file_ >= 0, "cannot open ", path, " as HDF5: ", reason());
}

Reader::~Reader() {
  const Lock lock(one_at_a_time());
  if (file_ >= 0) H5Fclose(file_);
}

bool Reader::has(const std::string& name) const {
  const Lock lock(one_at_a_time());
  // Every group on the way must exist before the last link may be asked for.
  for (std::size_t slash = name.find('/', 1); slash != std::string::npos;
       slash = name.find('/', slash + 1)) {
    if (H5Lexists(file_, name.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) return false;
  }
  return H5Lexists(file_, name.c_str(), H5P_DEFAULT) > 0;
}

Dataset Reader::dataset(const std::string& name) const {
  const Lock lock(one_at_a_time());
  const Handle dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
  require(dataset >= 0, path_, " has no dataset ", name);
  const Handle type(H5Dget_type(dataset), H5Tclose);
  const Handle space(H5Dget_space(dataset), H5Sclose);
  Dataset found;
  found.name = name;
  found.item_bytes = H5Tget_size(type);
  found.is_float = H5Tget_class(type) == H5T_FLOAT;
  found.is_signed = found.is_float || H5Tget_sign(type) == H5T_SGN_2;
  const int dims = H5Sget_simple_extent_ndims(space);
  std::vector<hsize_t> sizes(static_cast<std::size_t>(std::max(dims, 0)));
  if (dims > 0) H5Sget_simple_extent_dims(space, sizes.data(), nullptr);
  found.shape.assign(sizes.begin(), sizes.end());
  const haddr_t offset = H5Dget_offset(dataset);
  found.offset = offset == HADDR_UNDEF ? 0 : offset;
  return found;
}

std::vector<std::string> Reader::names(const std::string& group) const {
  const Lock lock(one_at_a_time());
  const Handle id(H5Gopen2(file_, group.c_str(), H5P_DEFAULT), H5Gclose);
  require(id >= 0, path_, " has no group ", group);
  std::vector<std::string> names;
  H5Literate(
      id, H5_INDEX_NAME, H5_ITER_INC, nullptr,
      [](hid_t, const char* name, const H5L_info_t*, void* data) -> herr_t {
        static_cast<std::vector<std::string>*>(data)->emplace_back(name);
        return 0;
      },
      &names);
  return names;
}

template <typename T>
std::vector<T> Reader::read(const std::string& name) const {
  const Lock lock(one_at_a_time());
  const Dataset about = dataset(name);
  index_t count = 1;
  for (index_t size : about.shape) count *= size;
  std::vector<T> values(static_cast<std::size_t>(count));
  const Handle id(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
  require(count == 0 ||
              H5Dread(id, memory_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0,
          "cannot read dataset ", name, " of ", path_, ": ", reason());
  return values;
}

template std::vector<float> Reader::read(const std::string&) const;
template std::vector<double> Reader::read(const std::string&) const;
template std::vector<std::int32_t> Reader::read(const std::string&) const;
template std::vector<std::int64_t> Reader::read(const std::string&) const;
template std::vector<std::uint8_t> Reader::read(const std::string&) const;
template std::vector<std::uint16_t> Reader::read(const std::string&) const;
template std::vector<std::uint32_t> Reader::read(const std::string&) const;
template std::vector<std::uint64_t> Reader::read(const std::string&) const;

bool Reader::has_attribute(const std::string& name) const {
  const Lock lock(one_at_a_time());
  return H5Aexists(file_, name.c_str()) > 0;
}

std::string Reader::string_attribute(const std::string& name) const {
  const Lock lock(one_at_a_time());
  const Handle attribute(H5Aopen(file_, name.c_str(), H5P_DEFAULT), H5Aclose);
  require(attribute >= 0, path_, " has no attribute ", name);
  const Handle type(H5Aget_type(attribute), H5Tclose);
  require(H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0, path_, ": attribute ",
          name, " is not a fixed-length string");
  std::string value(H5Tget_size(type), '\0');
  require(H5Aread(attribute, type, value.data()) >= 0, path_, ": cannot read attribute ", name);
  while (!value.empty() && value.back() == '\0') value.pop_back();
  return value;
}

double Reader::number_attribute(const std::string& name) const {
  const Lock lock(one_at_a_time());
  const Handle attribute(H5Aopen(file_, name.c_str(), H5P_DEFAULT), H5Aclose);
  require(attribute >= 0, path_, " has no attribute ", name);
  double value = 0;
  require(H5Aread(attribute, H5T_NATIVE_DOUBLE, &value) >= 0, path_, ": attribute ", name,
          " is not a number");
  return value;
}

}  // namespace lockstep::hdf5
