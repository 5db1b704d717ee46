#include "core/direct_file.hpp"

#include <filesystem>
#include <unistd.h>

#include <gtest/gtest.h>

#include "core/durable_file.hpp"
#include "tests/support/error_of.hpp"
#include "tests/support/file_size_limit.hpp"
#include "tests/support/temporary_directory.hpp"

namespace lockstep {
namespace {

std::string counted(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(i % 251);
  return text;
}

// Pieces at aligned and odd offsets, of whole blocks, of parts, larger than the buffer, from odd
// addresses; what lies between them stays.
void expect_pieces_arrive(const std::string& path) {
  const std::string source = counted(9 << 20);
  std::string expected((10 << 20) + 77, 'x');
  write_file_durably(path, expected);

  DirectFile file(path);
  const auto write = [&](std::size_t offset, std::size_t from, std::size_t bytes) {
    file.write(offset, source.data() + from, bytes);
    expected.replace(offset, bytes, source, from, bytes);
  };
  write(0, 1, 4096);
  write(8192, 3, (8 << 20) + 4097);
  write((9 << 20) + 5, 2, 70'000);
  write((9 << 20) + 77'824, 0, 100);
  write(expected.size(), 11, 5000);
  write(4096, 7, 0);
  file.finish();

  EXPECT_TRUE(read_file(path) == expected);
}

TEST(DirectFile, WritesWhatLiesAnywhere) {
  const test::TemporaryDirectory directory;
  expect_pieces_arrive(directory.file("a"));
}

TEST(DirectFile, WritesWhereMemoryIsTheDisk) {
  if (!std::filesystem::is_directory("/dev/shm")) GTEST_SKIP() << "no /dev/shm";
  const std::string path = "/dev/shm/lockstep-direct-file-test-" + std::to_string(getpid());
  expect_pieces_arrive(path);
  std::filesystem::remove(path);
}

TEST(DirectFile, SaysWhyItCannotWrite) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.file("a"), content = counted(3 << 20);
  write_file_durably(path, "");

  const test::FileSizeLimit limit(1 << 20);
  const test::Failure failure = test::error_of([&] {
    DirectFile file(path);
    file.write(0, content.data(), content.size());
    file.finish();
  });
  const test::Failure missing = test::error_of([&] { DirectFile file(path + "b"); });

  EXPECT_EQ(failure.code, ExitCode::failed);
  EXPECT_TRUE(failure.names(path) && failure.names("File too large")) << failure.message;
  EXPECT_TRUE(missing.names(path + "b")) << missing.message;
}

}  // namespace
}  // namespace lockstep
