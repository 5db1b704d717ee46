// A save that is killed, or that meets an error, at every single call it makes; and a machine that
// loses power after every one of them, with what was not yet synced lost or torn. Afterwards there
// must be a valid checkpoint at least as new as the last one acknowledged, and nothing invalid
// under a good name.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <spawn.h>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "parallel/checkpoint/checkpoint.hpp"
#include "tests/support/temporary_directory.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using Variables = std::map<std::string, std::string>;

struct Ended {
  int code = 0;    // of exit
  int signal = 0;  // that killed it
  std::string out, err;

  // The greatest number behind `word`; -1 when it never came.
  std::int64_t last(const std::string& word) const {
    std::istringstream lines(out);
    std::int64_t value = -1, number = 0;
    for (std::string w; lines >> w >> number;) {
      if (w == word) value = number;
    }
    return value;
  }
};

std::string binary(const char* name) {
  const char* directory = std::getenv("LOCKSTEP_BINARY_DIR");
  return std::string(directory != nullptr ? directory : ".") + "/tests/" + name;
}

Ended run_program(const test::TemporaryDirectory& place,
                  const std::string& directory,
                  int steps,
                  Variables variables = {}) {
  const std::string out = place.file("out"), err = place.file("err");
  std::vector<std::string> words{binary("checkpoint_program"), directory, std::to_string(steps)};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  if (!variables.empty()) {
    variables["LD_PRELOAD"] = binary("libfault_shim.so");
    variables["FAULT_ROOT"] = directory;
  }
  std::vector<std::string> settings{"OMP_NUM_THREADS=1"};
  for (const auto& [name, value] : variables) settings.push_back(name + "=" + value);
  std::vector<char*> environment;
  for (std::string& setting : settings) environment.push_back(setting.data());
  environment.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const int flags = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), flags, 0666);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), flags, 0666);
  pid_t child = 0;
  const int error =
      posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) fail("cannot start ", words[0], ": ", std::strerror(error));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  Ended ended;
  ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  ended.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  ended.out = read_file(out);
  ended.err = read_file(err);
  return ended;
}

// "" when every directory under a good name verifies.
std::string invalid_in(const std::string& directory) {
  for (const std::string& path : list_checkpoints(directory + "/checkpoints")) {
    try {
      verify_checkpoint(path);
    } catch (const Error& error) {
      return error.what();
    }
  }
  return "";
}

// "" when a start after the fault finds what was acknowledged, saves again and leaves no leftovers.
std::string fault_after(const test::TemporaryDirectory& place,
                        const std::string& directory,
                        std::int64_t acknowledged) {
  if (const std::string invalid = invalid_in(directory); !invalid.empty())
    return "invalid under a good name: " + invalid;
  const Ended again = run_program(place, directory, 1);
  if (again.code != 0) return build_string("the next start: code ", again.code, ", ", again.err);
  if (again.last("from") < acknowledged)
    return build_string("went on from ", again.last("from"), ", acknowledged ", acknowledged);
  if (again.last("ack") != again.last("from") + 1) return "the next start did not save";
  for (const auto& entry : fs::directory_iterator(directory + "/checkpoints")) {
    if (entry.path().filename().string()[0] == '.')
      return "left behind: " + entry.path().filename().string();
  }
  return "";
}

class Crash : public testing::Test {
 protected:
  // Steps 1 and 2 are there; what follows saves 3 and 4 and prunes 1 and 2.
  Crash() { fs::create_directories(base); }
  void SetUp() override {
    const Ended ended = run_program(place, base, 2);
    ASSERT_EQ(ended.last("ack"), 2) << ended.err;
  }
  std::string fresh() {
    const std::string copy = place.file("run");
    fs::remove_all(copy);
    fs::copy(base, copy, fs::copy_options::recursive);
    return copy;
  }
  // A run for each call that it makes, the stride-th ones. Returns how many.
  int sweep(const std::string& action, bool lasting, int stride) {
    const int calls = num_calls();
    for (int at = 1; at <= calls; at += stride) {
      const std::string directory = fresh();
      const Ended ended = run_program(place, directory, 2,
                                      {{"FAULT_AT", std::to_string(at)},
                                       {"FAULT_ACTION", action},
                                       {"FAULT_LASTING", lasting ? "1" : "0"}});
      EXPECT_EQ(ended.signal != 0, action == "kill") << "at call " << at;
      const std::string fault =
          fault_after(place, directory, std::max<std::int64_t>(2, ended.last("ack")));
      EXPECT_EQ(fault, "") << action << (lasting ? " from call " : " at call ") << at;
    }
    return calls / stride;
  }
  int num_calls() {
    const std::string file = place.file("count");
    run_program(place, fresh(), 2, {{"FAULT_COUNT", file}});
    return std::atoi(read_file(file).c_str());
  }

  struct Record {
    std::string call, path, second, data;
    std::int64_t offset = 0;
  };
  std::vector<Record> journal_of(const std::string& directory) {
    const std::string file = place.file("journal");
    fs::remove(file);
    const Ended ended = run_program(place, directory, 2, {{"FAULT_JOURNAL", file}});
    EXPECT_EQ(ended.last("ack"), 4) << ended.err;
    std::ifstream in(file, std::ios::binary);
    std::vector<Record> records;
    Record record;
    std::size_t length = 0;
    while (in >> record.call >> record.offset >> length && in.ignore(1) &&
           std::getline(in, record.path)) {
      const std::size_t bar = record.path.find('|');
      record.second = record.path.substr(bar + 1);
      record.path.resize(bar);
      record.data.resize(length);
      in.read(record.data.data(), static_cast<std::streamsize>(length));
      records.push_back(record);
    }
    return records;
  }

  const test::TemporaryDirectory place;
  const std::string base = place.file("base");
};

// 1: every call; the quick run takes a sample.
int stride() { return std::getenv("LOCKSTEP_SOAK") != nullptr ? 1 : 16; }

TEST_F(Crash, AKillAtAnyCallLosesNothing) { EXPECT_GT(sweep("kill", false, stride()), 10); }

TEST_F(Crash, AnErrorAtAnyCallLosesNothing) {
  for (const char* error : {"28", "5", "122"}) EXPECT_GT(sweep(error, false, stride()), 5);
}

TEST_F(Crash, AnInterruptedCallLosesNothing) { EXPECT_GT(sweep("4", false, stride()), 5); }

TEST_F(Crash, AShortWriteLosesNothing) { EXPECT_GT(sweep("short", false, stride()), 5); }

TEST_F(Crash, ErrorsThatLastLoseNothing) { EXPECT_GT(sweep("28", true, stride()), 5); }

// ---- power loss ----

// A disk as the records make it. A name leads to a file object; what a crash keeps of unsynced data
// and names is decided when the state is written out.
struct Disk {
  struct File {
    std::string content, synced;
    bool was_synced = false;
  };
  using Names = std::map<std::string, int>;  // path -> file; directories: -1

  Names names, durable_names;
  std::vector<File> files;

  int file(const std::string& path) {
    const auto found = names.find(path);
    if (found != names.end() && found->second >= 0) return found->second;
    files.emplace_back();
    return names[path] = static_cast<int>(files.size()) - 1;
  }
  void load(const std::string& root) {
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      const std::string path = entry.path().string();
      if (entry.is_directory()) {
        names[path] = -1;
        continue;
      }
      File& f = files[static_cast<std::size_t>(file(path))];
      f.content = f.synced = read_file(path);
      f.was_synced = true;
    }
    durable_names = names;
  }
  static bool below(const std::string& path, const std::string& directory) {
    return path == directory || path.compare(0, directory.size() + 1, directory + "/") == 0;
  }
  void move(const std::string& from, const std::string& to) {
    Names moved;
    for (const auto& [path, id] : names) {
      if (below(path, from)) moved[to + path.substr(from.size())] = id;
    }
    remove(from);
    remove(to);
    names.insert(moved.begin(), moved.end());
  }
  void remove(const std::string& path) {
    for (auto it = names.begin(); it != names.end();)
      it = below(it->first, path) ? names.erase(it) : std::next(it);
  }
  // A directory's fsync makes the names in it durable, and what moved with them.
  void sync_names(const std::string& directory) {
    const auto in = [&](const std::string& path) { return below(path, directory); };
    for (auto it = durable_names.begin(); it != durable_names.end();)
      it = in(it->first) ? durable_names.erase(it) : std::next(it);
    for (const auto& [path, id] : names) {
      if (in(path)) durable_names[path] = id;
    }
  }
};

class PowerLoss : public Crash {
 protected:
  enum class Data { kept, lost, torn_512, torn_4096 };

  void apply(Disk& disk, const Record& r) {
    if (r.call == "mkdir") disk.names[r.path] = -1;
    if (r.call == "create" || r.call == "truncate") {
      Disk::File& f = disk.files[static_cast<std::size_t>(disk.file(r.path))];
      if (r.call == "truncate") f.content.clear();
    }
    if (r.call == "write") {
      std::string& content = disk.files[static_cast<std::size_t>(disk.file(r.path))].content;
      const auto begin = static_cast<std::size_t>(r.offset);
      if (content.size() < begin + r.data.size()) content.resize(begin + r.data.size());
      content.replace(begin, r.data.size(), r.data);
    }
    if (r.call == "size")
      disk.files[static_cast<std::size_t>(disk.file(r.path))].content.resize(
          static_cast<std::size_t>(r.offset));
    if (r.call == "rename") disk.move(r.path, r.second);
    if (r.call == "exchange") {
      disk.move(r.path, r.path + ".x");
      disk.move(r.second, r.path);
      disk.move(r.path + ".x", r.second);
    }
    if (r.call == "remove") disk.remove(r.path);
    if (r.call != "fsync") return;
    const auto found = disk.names.find(r.path);
    if (found == disk.names.end() || found->second < 0) return disk.sync_names(r.path);
    Disk::File& f = disk.files[static_cast<std::size_t>(found->second)];
    f.synced = f.content;
    f.was_synced = true;
  }

  static std::string content_of(const Disk::File& file, Data data) {
    if (data == Data::kept) return file.content;
    if (data == Data::lost) return file.synced;
    // The last unsynced part reached the disk up to a sector's or a page's border.
    const std::size_t unit = data == Data::torn_512 ? 512 : 4096;
    std::size_t same = 0;
    const std::size_t shorter = std::min(file.synced.size(), file.content.size());
    while (same < shorter && file.synced[same] == file.content[same]) ++same;
    const std::size_t whole = (same + (file.content.size() - same) / 2) / unit * unit;
    std::string torn = file.content.substr(0, whole);
    if (file.synced.size() > whole) torn += file.synced.substr(whole);
    return torn;
  }

  // Writes the state a crash leaves to `root`, where everything was under `from`.
  static void write_out(const Disk& disk,
                        bool names_kept,
                        Data data,
                        const std::string& from,
                        const std::string& root) {
    fs::remove_all(root);
    fs::create_directories(root);
    for (const auto& [path, id] : names_kept ? disk.names : disk.durable_names) {
      const std::string target = root + path.substr(from.size());
      if (id < 0) {
        fs::create_directories(target);
        continue;
      }
      fs::create_directories(fs::path(target).parent_path());
      std::ofstream(target, std::ios::binary)
          << content_of(disk.files[static_cast<std::size_t>(id)], data);
    }
  }
};

TEST_F(PowerLoss, AfterAnyCallLeavesTheLastAcknowledgedCheckpoint) {
  const std::string recorded = fresh();
  Disk disk;
  disk.load(recorded);
  const std::vector<Record> records = journal_of(recorded);
  ASSERT_GT(records.size(), 30u);
  const std::string state = place.file("state");
  std::int64_t acknowledged = 2;
  std::set<std::string> faults;

  for (std::size_t i = 0; i < records.size(); ++i) {
    apply(disk, records[i]);
    if (records[i].call == "say" && records[i].data.rfind("ack ", 0) == 0)
      acknowledged = std::stoll(records[i].data.substr(4));
    const bool orders = records[i].call == "rename" || records[i].call == "fsync";
    if (!orders && i % static_cast<std::size_t>(stride()) != 0) continue;
    for (const bool names_kept : {true, false}) {
      for (const Data data : {Data::kept, Data::lost, Data::torn_512, Data::torn_4096}) {
        write_out(disk, names_kept, data, recorded, state);
        const Ended again = run_program(place, state, 0);
        const std::int64_t from = again.last("from");
        if (again.code != 0 || from < acknowledged)
          faults.insert(build_string("after ", records[i].call, " ", records[i].path, ": code ",
                                     again.code, ", from ", from, " of ", acknowledged, "; ",
                                     again.err));
      }
    }
  }

  EXPECT_EQ(acknowledged, 4);
  EXPECT_TRUE(faults.empty()) << faults.size() << " states, the first: " << *faults.begin();
}

}  // namespace
}  // namespace lockstep
