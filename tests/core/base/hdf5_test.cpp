#include "core/hdf5.hpp"

#include <cstring>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "core/durable_file.hpp"
#include "tests/support/error_of.hpp"
#include "tests/support/file_size_limit.hpp"
#include "tests/support/temporary_directory.hpp"

namespace lockstep {
namespace {

void write_sample(const std::string& path) {
  const std::vector<float> matrix{1, 2, 3, 4, 5, 6};
  const std::vector<std::uint16_t> tokens{7, 8, 9, 65535};
  hdf5::Writer writer(path);
  writer.write_all("/group/matrix", hdf5::Type::f32, {2, 3}, matrix.data());
  writer.create("/tokens", hdf5::Type::u16, {4});
  writer.write("/tokens", hdf5::Type::u16, 0, 1, tokens.data());
  writer.write("/tokens", hdf5::Type::u16, 1, 3, tokens.data() + 1);
  writer.write_all("/none", hdf5::Type::i64, {0}, nullptr);
  writer.attribute("name", "wiki");
  writer.attribute("count", std::uint64_t{1} << 40);
  writer.close();
}

TEST(Hdf5, ReadsBackWhatItWrote) {
  const test::TemporaryDirectory directory;
  write_sample(directory.file("a.h5"));

  const hdf5::Reader reader(directory.file("a.h5"));
  const hdf5::Dataset matrix = reader.dataset("/group/matrix");

  EXPECT_EQ(matrix.shape, (std::vector<index_t>{2, 3}));
  EXPECT_TRUE(matrix.is_float);
  EXPECT_EQ(matrix.item_bytes, 4u);
  EXPECT_EQ(reader.read<double>("/group/matrix"), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(reader.read<std::int32_t>("/tokens"), (std::vector<std::int32_t>{7, 8, 9, 65535}));
  EXPECT_TRUE(reader.read<std::int64_t>("/none").empty());
  EXPECT_EQ(reader.names("/"), (std::vector<std::string>{"group", "none", "tokens"}));
  EXPECT_EQ(reader.string_attribute("name"), "wiki");
  EXPECT_EQ(reader.number_attribute("count"), 0x1p40);
  EXPECT_FALSE(reader.has("/group/absent") || reader.has("/absent/matrix") ||
               reader.has_attribute("absent"));
}

TEST(Hdf5, OffsetsAreWhereTheBytesLie) {
  const test::TemporaryDirectory directory;
  const std::vector<float> small{1.5f, 2.5f}, large(20000, 3.5f);
  hdf5::Writer writer(directory.file("a.h5"));
  const std::uint64_t small_at = writer.write_all("/small", hdf5::Type::f32, {2}, small.data());
  const std::uint64_t large_at =
      writer.write_all("/large", hdf5::Type::f32, {100, 200}, large.data());
  writer.close();

  const std::string bytes = read_file(directory.file("a.h5"));
  const hdf5::Reader reader(directory.file("a.h5"));

  ASSERT_LE(large_at + 80000, bytes.size());
  EXPECT_EQ(std::memcmp(bytes.data() + small_at, small.data(), 8), 0);
  EXPECT_EQ(std::memcmp(bytes.data() + large_at, large.data(), 80000), 0);
  EXPECT_EQ(large_at % 4096, 0u);
  EXPECT_EQ(reader.dataset("/large").offset, large_at);
}

TEST(Hdf5, EqualDataAreEqualBytes) {
  const test::TemporaryDirectory directory;

  write_sample(directory.file("a.h5"));
  write_sample(directory.file("b.h5"));

  EXPECT_EQ(read_file(directory.file("a.h5")), read_file(directory.file("b.h5")));
}

TEST(Hdf5, AFullDiskIsAnErrorAtEveryLength) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.file("a.h5");
  write_sample(path);
  const std::size_t whole = std::filesystem::file_size(path);

  for (std::size_t bytes = 0; bytes < whole; bytes += 97) {
    const test::FileSizeLimit limit(bytes);
    const test::Failure failure = test::error_of([&] { write_sample(path); });
    EXPECT_EQ(failure.code, ExitCode::failed);
    EXPECT_TRUE(failure.names(path) && failure.names("File too large"))
        << bytes << ": " << failure.message;
    EXPECT_FALSE(failure.names("\n")) << failure.message;
  }
  write_sample(path);  // and the library still works

  EXPECT_EQ(hdf5::Reader(path).read<std::int32_t>("/tokens").size(), 4u);
}

TEST(Hdf5, RefusesWhatIsNotThereInOneLine) {
  const test::TemporaryDirectory directory;
  write_sample(directory.file("a.h5"));
  write_file_durably(directory.file("text.h5"), "not HDF5");
  const hdf5::Reader reader(directory.file("a.h5"));

  const test::Failure file = test::error_of([&] { hdf5::Reader{directory.file("b.h5")}; });
  const test::Failure text = test::error_of([&] { hdf5::Reader{directory.file("text.h5")}; });
  const test::Failure dataset = test::error_of([&] { reader.dataset("/absent"); });

  EXPECT_EQ(file.code, ExitCode::refused);
  EXPECT_TRUE(file.names("b.h5") && file.names("No such file or directory")) << file.message;
  EXPECT_TRUE(text.names("text.h5")) << text.message;
  EXPECT_TRUE(dataset.names("a.h5") && dataset.names("/absent")) << dataset.message;
}

TEST(Hdf5, StaysSilentOnAnyThread) {
  const test::TemporaryDirectory directory;
  testing::internal::CaptureStderr();

  std::thread other([&] { test::error_of([&] { hdf5::Reader{directory.file("b.h5")}; }); });
  other.join();

  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace lockstep
