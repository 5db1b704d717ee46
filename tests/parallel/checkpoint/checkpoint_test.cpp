// Checkpoints of one rank: commit, damage, pruning, full disks.
#include "parallel/checkpoint/checkpoint.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sys/mount.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/durable_file.hpp"
#include "core/hdf5.hpp"
#include "tests/parallel/checkpoint/run_state.hpp"
#include "tests/support/error_of.hpp"
#include "tests/support/file_size_limit.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using test::RunState;

std::string names_in(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : " ") + name;
  return all;
}

class Checkpoint : public testing::Test {
 protected:
  Checkpoint() { state.fill(); }
  std::string save(std::int64_t step) const { return state.save(checkpoints, step).path; }

  const test::TemporaryDirectory directory;
  const std::string run = directory.file("run"), checkpoints = run + "/checkpoints";
  RunState state{test::Layout{}};
};

TEST_F(Checkpoint, KeepsMetaAndTensors) {
  const SaveResult result = state.save(checkpoints, 123);
  RunState after{test::Layout{}};
  after.fill_wrong();

  const CheckpointMeta meta = read_meta(result.path);
  after.load(result.path);

  EXPECT_EQ(result.path, checkpoints + "/step-000000123");
  EXPECT_EQ(names_in(checkpoints), "step-000000123");
  EXPECT_EQ(names_in(result.path), "manifest.json rank-00000.h5");
  EXPECT_EQ(result.bytes, fs::file_size(result.path + "/rank-00000.h5"));
  EXPECT_EQ(meta.step, 123);
  EXPECT_EQ(meta.consumed_samples, 8 * 123);
  EXPECT_EQ(meta.options, RunState::meta(0).options);
  EXPECT_EQ(after.num_wrong(), 0);
}

TEST_F(Checkpoint, IsReadableAsHdf5AndJson) {
  const std::string path = save(1);

  const hdf5::Reader reader(path + "/rank-00000.h5");
  const nlohmann::json manifest = nlohmann::json::parse(read_file(path + "/manifest.json"));

  for (const auto& tile : manifest.at("tiles")) {
    const hdf5::Dataset dataset = reader.dataset(tile.at("dataset"));
    EXPECT_EQ(dataset.offset, tile.at("offset").get<std::uint64_t>());
    EXPECT_TRUE(dataset.is_float);
  }
  EXPECT_EQ(manifest.at("tiles").size() % 3, 0u);
}

TEST_F(Checkpoint, DescribesItselfToPeopleAndPrograms) {
  const std::string path = save(7);

  const nlohmann::json json = nlohmann::json::parse(describe_checkpoint(path, true));
  const std::string text = describe_checkpoint(path, false);

  EXPECT_EQ(json.at("step"), 7);
  EXPECT_EQ(json.at("consumed_samples"), 56);
  EXPECT_EQ(json.at("seed"), 42);
  EXPECT_EQ(json.at("corpus_fingerprint"), "c0ffee");
  EXPECT_EQ(json.at("options").at("learning-rate"), "0.001");
  EXPECT_EQ(json.at("parameters"), ParameterTable(test::small_model(1)).count());
  EXPECT_EQ(json.at("files").size(), 1u);
  EXPECT_NE(text.find("--learning-rate 0.001"), std::string::npos) << text;
}

// Every few bytes of every file: verify names the file; a load fails, or has not read the byte.
TEST_F(Checkpoint, NoDamagedByteIsAcceptedOrUsed) {
  const std::string path = save(1);
  for (const char* name : {"/rank-00000.h5", "/manifest.json"}) {
    const std::string file = path + name;
    const std::uint64_t size = fs::file_size(file);
    for (std::uint64_t byte = 0; byte < size; byte += size / 60) {
      test::flip_bit(file, byte);
      const test::Failure verify = test::error_of([&] { verify_checkpoint(path); });
      EXPECT_EQ(verify.code, ExitCode::failed);
      EXPECT_TRUE(verify.names(file)) << byte << ": " << verify.message;
      EXPECT_TRUE(test::error_of([&] { state.load(path); }).names(file)) << byte;
      try {
        state.load(path, false);
        EXPECT_EQ(state.num_wrong(false), 0) << byte;
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(file), std::string::npos) << error.what();
      }
      test::flip_bit(file, byte);
    }
  }

  verify_checkpoint(path);
}

TEST_F(Checkpoint, MissingShortLongAndForeignFilesAreNamed) {
  const auto damaged = [&](const char* file,
                           const std::function<void(const std::string&)>& damage) {
    const std::string path = save(1);
    damage(path + "/" + file);
    const test::Failure verify = test::error_of([&] { verify_checkpoint(path); });
    EXPECT_EQ(verify.code, ExitCode::failed);
    EXPECT_TRUE(verify.names(path + "/" + file)) << verify.message;
  };
  const auto append = [](const std::string& path) { std::ofstream(path, std::ios::app) << "x"; };
  for (const char* file : {"rank-00000.h5", "manifest.json"}) {
    damaged(file, [](const std::string& path) { fs::remove(path); });
    damaged(file, [](const std::string& path) { fs::resize_file(path, fs::file_size(path) - 1); });
    damaged(file, [](const std::string& path) { fs::resize_file(path, 0); });
    damaged(file, [](const std::string& path) {
      fs::remove(path);
      fs::create_directory(path);
    });
    damaged(file, append);
  }
  damaged("notes.txt", append);
  save(2);
  damaged("manifest.json", [&](const std::string& path) {
    fs::copy_file(checkpoints + "/step-000000002/manifest.json", path,
                  fs::copy_options::overwrite_existing);
  });
}

TEST_F(Checkpoint, OfAnotherModelIsRefused) {
  const std::string path = save(1);
  RunState deeper(test::Layout{}, DType::f32, 5), shallower(test::Layout{}, DType::f32, 3);

  const test::Failure lacking = test::error_of([&] { deeper.load(path); });
  const test::Failure surplus = test::error_of([&] { shallower.load(path); });

  EXPECT_TRUE(lacking.names("has no parameter layers.4.") && lacking.names(path))
      << lacking.message;
  EXPECT_TRUE(surplus.names("layers.3.") && surplus.names("which the model lacks"))
      << surplus.message;
}

TEST_F(Checkpoint, AStepSavedAgainReplacesADamagedOne) {
  const std::string path = save(1);
  fs::remove(path + "/manifest.json");

  save(1);

  verify_checkpoint(path);
  EXPECT_EQ(names_in(checkpoints), "step-000000001");
}

TEST_F(Checkpoint, PruningKeepsTheNewest) {
  for (std::int64_t step : {1, 2, 3, 1000000000}) save(step);
  fs::create_directories(checkpoints + "/damaged-step-000000002");

  prune_checkpoints(checkpoints, 2);

  EXPECT_EQ(names_in(checkpoints), "damaged-step-000000002 step-000000003 step-1000000000");
  EXPECT_EQ(list_checkpoints(checkpoints).front(), checkpoints + "/step-1000000000");
}

TEST_F(Checkpoint, PruningKeepsTheStepsOfKeepEvery) {
  for (std::int64_t step : {5, 10, 15, 20}) save(step);

  prune_checkpoints(checkpoints, 1, 10);

  EXPECT_EQ(names_in(checkpoints), "step-000000010 step-000000020");
}

TEST_F(Checkpoint, CleaningLeavesWhatNewerStartsMade) {
  save(10);
  for (const char* name : {".tmp-20.i2-a", ".tmp-30.i3-b", ".tmp-40", ".trash-step-000000005"})
    fs::create_directories(checkpoints + "/" + name);

  clean_leftovers(checkpoints, 2);

  EXPECT_EQ(names_in(checkpoints), ".tmp-30.i3-b step-000000010");
}

TEST_F(Checkpoint, CleaningPutsBackWhatWasSetAside) {
  save(10);
  fs::rename(checkpoints + "/step-000000010", checkpoints + "/.aside-step-000000010");
  save(20);
  fs::create_directories(checkpoints + "/.aside-step-000000020");

  clean_leftovers(checkpoints, 2);

  EXPECT_EQ(names_in(checkpoints), "step-000000010 step-000000020");
}

TEST_F(Checkpoint, PruningDoesNotCountDamagedOnes) {
  for (std::int64_t step : {1, 2, 3}) save(step);
  fs::remove(checkpoints + "/step-000000003/manifest.json");

  prune_checkpoints(checkpoints, 1);

  EXPECT_EQ(names_in(checkpoints), "step-000000002 step-000000003");
}

TEST_F(Checkpoint, IsFoundByRunByStepAndByItsOwnPath) {
  const std::string one = save(1), two = save(2);

  EXPECT_EQ(resolve_checkpoint(run, {}), two);
  EXPECT_EQ(resolve_checkpoint(run + "/", 1), one);
  EXPECT_EQ(resolve_checkpoint(checkpoints, {}), two);
  EXPECT_EQ(resolve_checkpoint(one + "/", {}), one);
  EXPECT_TRUE(test::error_of([&] { resolve_checkpoint(run, 3); }).names("--step 3"));
  EXPECT_TRUE(test::error_of([&] { resolve_checkpoint(one, 2); }).names("--step 2"));
  for (const std::string& path : {directory.path(), directory.file("absent")}) {
    const test::Failure failure = test::error_of([&] { resolve_checkpoint(path, {}); });
    EXPECT_TRUE(failure.names(path) && failure.code == ExitCode::refused) << failure.message;
  }
}

TEST_F(Checkpoint, AFullDiskAtAnyLengthLeavesOnlyTheOldOne) {
  const std::string path = save(1);
  const std::uint64_t whole = fs::file_size(path + "/rank-00000.h5");

  for (std::uint64_t bytes = 0; bytes < whole; bytes += whole / 20) {
    const test::FileSizeLimit limit(bytes);
    const test::Failure failure = test::error_of([&] { save(2); });
    EXPECT_EQ(failure.code, ExitCode::failed);
    EXPECT_TRUE(failure.names("File too large") && failure.names(checkpoints)) << failure.message;
    EXPECT_EQ(names_in(checkpoints), "step-000000001");
  }

  verify_checkpoint(path);
}

TEST_F(Checkpoint, AFullFileSystemSaysSo) {
  fs::create_directories(checkpoints);
  if (mount("tmpfs", checkpoints.c_str(), "tmpfs", 0, "size=160k") != 0) {
    GTEST_SKIP() << "cannot mount a small file system: " << std::strerror(errno);
  }

  test::Failure failure;
  for (std::int64_t step = 1; step < 100 && failure.code == ExitCode::done; ++step) {
    try {
      save(step);
    } catch (const Error& error) {
      failure = {error.what(), error.code()};
    }
  }
  const std::vector<std::string> left = list_checkpoints(checkpoints);
  for (const std::string& path : left) verify_checkpoint(path);
  const std::string names = names_in(checkpoints);
  umount(checkpoints.c_str());

  EXPECT_TRUE(failure.names("No space left on device") && failure.names(".tmp-"))
      << failure.message;
  EXPECT_EQ(names.find(".tmp-"), std::string::npos) << names;
}

}  // namespace
}  // namespace lockstep
