#include "core/durable_file.hpp"

#include <filesystem>

#include <gtest/gtest.h>

#include "tests/support/error_of.hpp"
#include "tests/support/file_size_limit.hpp"
#include "tests/support/temporary_directory.hpp"

namespace lockstep {
namespace {

TEST(DurableFile, WritesAndReplacesWholeContents) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.file("a");
  const std::string content("zero \0 and bytes above 127 \xff", 28);

  write_file_durably(path, content + content);
  write_file_durably(path, content);

  EXPECT_EQ(read_file(path), content);
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST(DurableFile, ReadsFilesLongerThanItsBuffer) {
  const test::TemporaryDirectory directory;
  const std::string content(200001, 'b');

  write_file_durably(directory.file("long"), content);
  write_file_durably(directory.file("empty"), "");

  EXPECT_EQ(read_file(directory.file("long")), content);
  EXPECT_EQ(read_file(directory.file("empty")), "");
}

TEST(DurableFile, KeepsTheOldContentWhenTheDiskIsFull) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.file("a");
  write_file_durably(path, "old");

  const test::FileSizeLimit limit(1000);
  const test::Failure failure =
      test::error_of([&] { write_file_durably(path, std::string(5000, 'n')); });

  EXPECT_EQ(failure.code, ExitCode::failed);
  EXPECT_TRUE(failure.names(path) && failure.names("File too large")) << failure.message;
  EXPECT_EQ(read_file(path), "old");
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST(DurableFile, NamesWhatItCannotReadOrReach) {
  const test::TemporaryDirectory directory;
  const std::string missing = directory.file("missing/a");

  const test::Failure read = test::error_of([&] { read_file(missing); });
  const test::Failure folder = test::error_of([&] { read_file(directory.path()); });
  const test::Failure write = test::error_of([&] { write_file_durably(missing, ""); });
  const test::Failure move = test::error_of([&] { rename_durably(missing, directory.file("b")); });

  EXPECT_EQ(read.code, ExitCode::refused);
  EXPECT_TRUE(read.names(missing) && read.names("No such file")) << read.message;
  EXPECT_TRUE(folder.names("Is a directory")) << folder.message;
  EXPECT_EQ(write.code, ExitCode::failed);
  EXPECT_TRUE(write.names(missing)) << write.message;
  EXPECT_TRUE(move.names(missing)) << move.message;
}

}  // namespace
}  // namespace lockstep
