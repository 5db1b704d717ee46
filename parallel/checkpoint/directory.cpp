// Which checkpoints there are, and which of them go.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <filesystem>

#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "parallel/checkpoint/checkpoint.hpp"
#include "parallel/checkpoint/manifest.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

bool starts_with(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

bool is_step_name(const std::string& name) {
  return starts_with(name, "step-") && name.size() >= 14 && name.size() <= 23 &&
         name.find_first_not_of("0123456789", 5) == std::string::npos;
}

// Names of the directories in `path`; none when there is no `path`.
std::vector<std::string> directories_in(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(path, error);
  if (error == std::errc::no_such_file_or_directory) return names;
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code vanished;
    if (entry->is_directory(vanished)) names.push_back(entry->path().filename().string());
  }
  if (error) fail("cannot list ", path, ": ", error.message());
  return names;
}

void remove_directory(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) fail("cannot remove ", path, ": ", error.message());
}

bool is_complete(const std::string& step_directory) {
  try {
    read_meta(step_directory);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// The number in ".../step-000000123"; nothing for other names.
std::optional<std::int64_t> step_of(const std::string& step_directory) {
  const std::string name = fs::path(step_directory).filename().string();
  if (!is_step_name(name)) return {};
  return std::stoll(name.substr(5));
}

}  // namespace

std::vector<std::string> list_checkpoints(const std::string& checkpoints) {
  std::vector<std::string> found;
  for (const std::string& name : directories_in(checkpoints)) {
    if (is_step_name(name)) found.push_back(checkpoints + "/" + name);
  }
  // Longer names are later steps: nine digits are the least.
  std::sort(found.begin(), found.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a > b;
  });
  return found;
}

std::int64_t incarnation_in(const std::string& name) {
  const std::size_t at = name.rfind(".i");
  std::int64_t number = -1;
  if (at == std::string::npos) return -1;
  return std::sscanf(name.c_str() + at, ".i%" SCNd64 "-", &number) == 1 ? number : -1;
}

void clean_leftovers(const std::string& checkpoints, std::int64_t incarnation) {
  const std::string aside = ".aside-";
  for (const std::string& name : directories_in(checkpoints)) {
    if (starts_with(name, aside.c_str())) {
      const std::string kept = checkpoints + "/" + name,
                        home = checkpoints + "/" + name.substr(aside.size());
      fs::exists(home) ? remove_directory(kept) : rename_durably(kept, home);
      continue;
    }
    const bool temporary = starts_with(name, ".tmp-");
    if (!temporary && !starts_with(name, ".trash-")) continue;
    if (incarnation_in(name) > incarnation) continue;
    std::string path = checkpoints + "/" + name;
    if (temporary) {
      const std::string trash = checkpoints + "/.trash" + name;
      if (std::rename(path.c_str(), trash.c_str()) != 0) continue;  // committed or gone meanwhile
      path = trash;
    }
    remove_directory(path);
  }
}

void prune_checkpoints(const std::string& checkpoints, int keep, std::int64_t keep_every) {
  require(keep >= 1, "--keep ", keep,
          " must be at least 1: a run without a checkpoint cannot go on");
  int complete = 0;
  for (const std::string& path : list_checkpoints(checkpoints)) {
    if (complete < keep) {
      if (is_complete(path)) ++complete;
      continue;
    }
    const std::optional<std::int64_t> step = step_of(path);
    if (keep_every > 0 && step && *step % keep_every == 0) continue;
    // Out of sight first: a kill in the middle of the removal leaves no half checkpoint under a
    // good name.
    const std::string trash = checkpoints + "/.trash-" + fs::path(path).filename().string();
    rename_durably(path, trash);
    remove_directory(trash);
  }
}

std::string resolve_checkpoint(const std::string& path, std::optional<std::int64_t> step) {
  const std::string directory = fs::path(path + "/").lexically_normal().parent_path().string();
  std::error_code error;
  require(fs::is_directory(directory, error), "checkpoint ", path,
          " is not a directory: give a run or a step directory");
  const std::optional<std::int64_t> own_step = step_of(directory);
  if (own_step || fs::exists(directory + "/" + checkpoint::manifest_name, error)) {
    require(!step || own_step == step, "--step ", step.value_or(0), " is not the step of ", path,
            ": leave --step out");
    return directory;
  }
  const std::string inside = directory + "/checkpoints";
  const std::vector<std::string> found =
      list_checkpoints(fs::is_directory(inside, error) ? inside : directory);
  require(!found.empty(), "no checkpoint in ", path,
          ": give the --output of a run that has saved one, or a step directory");
  if (!step) return found.front();
  const auto wanted = std::find_if(found.begin(), found.end(), [&](const std::string& candidate) {
    return step_of(candidate) == step;
  });
  require(wanted != found.end(), "--step ", *step, ": no such checkpoint in ", path,
          ", the newest is ", found.front());
  return *wanted;
}

}  // namespace lockstep
