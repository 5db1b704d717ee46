#include "data/tokenizer/training_text.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include <zlib.h>

#include "core/error.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t part_bytes = std::size_t{4} << 20;

struct CloseGzip {
  void operator()(gzFile file) const { gzclose(file); }
};
using GzipFile = std::unique_ptr<gzFile_s, CloseGzip>;

// Appends up to part_bytes; false at the end of the file.
bool read_more(const std::string& path, gzFile file, std::string& text) {
  const std::size_t before = text.size();
  text.resize(before + part_bytes);
  const int count = gzread(file, text.data() + before, static_cast<unsigned>(part_bytes));
  int code = Z_OK;
  const std::string message = gzerror(file, &code);
  // A cut-short gzip file ends with Z_BUF_ERROR only.
  if (count < 0 || (code != Z_OK && code != Z_STREAM_END))
    fail("cannot read ", path, ": ", message);
  text.resize(before + static_cast<std::size_t>(count));
  return count > 0;
}

void add_directory(const std::string& directory, std::vector<std::string>& files) {
  std::error_code error;
  std::vector<std::string> found;
  fs::recursive_directory_iterator entry(directory, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    if (entry->is_regular_file(error)) found.push_back(entry->path().string());
  }
  require(!error, "cannot read directory ", directory, ": ", error.message());
  std::sort(found.begin(), found.end());
  files.insert(files.end(), found.begin(), found.end());
}

}  // namespace

std::vector<std::string> list_training_files(const std::vector<std::string>& inputs) {
  std::vector<std::string> files;
  for (const std::string& input : inputs) {
    std::error_code error;
    require(fs::exists(input, error), "input ", input, ": no such file or directory");
    if (fs::is_directory(input, error)) {
      add_directory(input, files);
    } else {
      require(fs::is_regular_file(input, error), "input ", input, ": not a regular file");
      files.push_back(input);
    }
  }
  require(!files.empty(), "no input files to learn a vocabulary from");
  return files;
}

void for_each_part(const std::string& path, const std::function<void(std::string_view)>& take) {
  const GzipFile file(gzopen(path.c_str(), "rbe"));
  if (!file) fail("cannot read ", path, ": ", std::strerror(errno));
  std::string text;
  while (read_more(path, file.get(), text)) {
    const std::size_t line_end = text.rfind('\n');
    if (line_end == std::string::npos) continue;
    take(std::string_view(text).substr(0, line_end + 1));
    text.erase(0, line_end + 1);
  }
  if (!text.empty()) take(text);
}

}  // namespace lockstep
