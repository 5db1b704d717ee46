#include "launch/run_directory.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <limits>
#include <unistd.h>

#include "core/durable_file.hpp"
#include "launch/failure.hpp"
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
    if (!fs::exists(path_ + "/DONE", error)) return;
    done = read_file(path_ + "/DONE");
    clean(std::numeric_limits<std::int64_t>::max());  // nobody works here any more
  });
  broadcast_text(environment.world(), done, 0);
  const bool is_done = !done.empty();
  if (is_done && environment.rank() == 0) std::cout << path_ << " is finished: DONE says " << done;
  return is_done;
}

// What starts up to `newest` left. The calling start has no temporary names yet.
void RunDirectory::clean(std::int64_t newest) const {
  namespace fs = std::filesystem;
  clean_leftovers(checkpoints(), newest);
  std::error_code ignored;  // what cannot be listed or removed does no harm
  for (const auto& entry : fs::directory_iterator(path_, ignored)) {
    const std::string name = entry.path().filename().string();
    const std::int64_t number = incarnation_in(name);
    if (name.front() == '.' && number >= 0 && number <= newest)
      fs::remove_all(entry.path(), ignored);
  }
}

void RunDirectory::take_over(const Environment& environment) {
  environment.agree([&] {
    if (environment.rank() != 0) return;
    incarnation_ = Incarnation::take(path_);
    word_ = incarnation_.word();
    number_ = incarnation_.number();
    clean(number_);
  });
  broadcast_text(environment.world(), word_, 0);
  number_ = incarnation_in("." + word_);
}

void RunDirectory::tidy() const {
  try {
    clean(number_ - 1);
  } catch (const Error& error) {
    print_warning(error.what());
  }
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
  write_file_durably(path_ + "/config.ini", ini, path_ + "/.config.ini." + word_);
}

}  // namespace lockstep
