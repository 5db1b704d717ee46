#include "launch/run_directory.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <unistd.h>

#include "core/durable_file.hpp"
#include "parallel/checkpoint/checkpoint.hpp"

namespace lockstep {
bool RunDirectory::finished(const Environment& environment, const std::string& resume) const {
  namespace fs = std::filesystem;
  std::string done;
  environment.agree([&] {
    if (environment.rank() != 0) return;
    std::error_code error;
    if (fs::exists(path_, error)) {
      require(fs::is_directory(path_, error), "--output ", path_, " is not a directory");
      require(resume != "never" || fs::is_empty(path_, error), "--resume never, but --output ",
              path_, " is not empty: choose a new directory, or continue with --resume auto");
    }
    fs::create_directories(checkpoints(), error);
    require(!error, "cannot make --output ", path_, ": ", error.message());
    require(access(path_.c_str(), W_OK | X_OK) == 0, "cannot write to --output ", path_, ": ",
            std::strerror(errno));
    clean_leftovers(checkpoints());
    if (fs::exists(path_ + "/DONE", error)) done = read_file(path_ + "/DONE");
  });
  broadcast_text(environment.world(), done, 0);
  const bool is_done = !done.empty();
  if (is_done && environment.rank() == 0) std::cout << path_ << " is finished: DONE says " << done;
  return is_done;
}

ResumeChoice RunDirectory::choose(const Environment& environment, const std::string& resume) const {
  std::string lines;
  environment.agree([&] {
    if (environment.rank() != 0) return;
    if (resume != "auto" && resume != "never") {
      lines = resolve_checkpoint(resume, std::nullopt) + "\n";
      return;
    }
    for (const std::string& directory : list_checkpoints(checkpoints())) lines += directory + "\n";
  });
  broadcast_text(environment.world(), lines, 0);
  ResumeChoice choice;
  for (std::size_t begin = 0; begin < lines.size();) {
    const std::size_t end = lines.find('\n', begin);
    choice.candidates.push_back(lines.substr(begin, end - begin));
    begin = end + 1;
  }
  return choice;
}

void RunDirectory::write_config(const std::string& ini) const {
  write_file_durably(path_ + "/config.ini", ini);
}

}  // namespace lockstep
