#include "data/documents.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <zlib.h>

#include "core/error.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\f\v") == std::string_view::npos;
}

// The line from `begin` on without its line end; `next` becomes where the following one begins.
std::string_view line_at(std::string_view text, std::size_t begin, std::size_t& next) {
  const void* found = std::memchr(text.data() + begin, '\n', text.size() - begin);
  const std::size_t end =
      found == nullptr ? text.size()
                       : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
  next = std::min(end + 1, text.size());
  return text.substr(begin, end - begin);
}

// `end` without one line end (LF or CR LF) before it.
std::size_t before_line_end(std::string_view text, std::size_t begin, std::size_t end) {
  if (end > begin && text[end - 1] == '\n') --end;
  if (end > begin && text[end - 1] == '\r') --end;
  return end;
}

using Fill =
    std::function<std::size_t(char*, std::size_t)>;  // returns bytes put there, 0 at the end

// Copies a stream to a file, so that everything that follows sees mapped files only.
void spool(const std::string& path, const Fill& fill) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) fail("cannot create ", path, ": ", std::strerror(errno));
  std::vector<char> buffer(std::size_t{1} << 18);
  try {
    while (const std::size_t size = fill(buffer.data(), buffer.size())) {
      for (std::size_t done = 0; done < size;) {
        const ssize_t n = write(file, buffer.data() + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail("cannot write ", path, ": ", std::strerror(errno));
        done += static_cast<std::size_t>(n);
      }
    }
  } catch (...) {
    close(file);
    throw;
  }
  close(file);
}

void unpack(const std::string& from, const std::string& to) {
  const gzFile file = gzopen(from.c_str(), "rb");
  require(file != nullptr, "cannot open ", from, ": ", std::strerror(errno));
  try {
    spool(to, [&](char* data, std::size_t size) {
      const int n = gzread(file, data, static_cast<unsigned>(size));
      int code = Z_OK;
      const char* why = gzerror(file, &code);
      require(n >= 0 && (n > 0 || code == Z_OK || code == Z_STREAM_END), "cannot unpack ", from,
              ": ", code == Z_BUF_ERROR ? "the file is cut short" : why);
      require(n == 0 || gzdirect(file) == 0, "cannot unpack ", from, ": it is not gzip data");
      return static_cast<std::size_t>(n);
    });
  } catch (...) {
    gzclose(file);
    throw;
  }
  // A last member without its trailer shows here only.
  require(gzclose(file) == Z_OK, "cannot unpack ", from, ": the file is cut short");
}

void copy_stdin(const std::string& to) {
  spool(to, [](char* data, std::size_t size) {
    for (;;) {
      const ssize_t n = read(STDIN_FILENO, data, size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("cannot read standard input: ", std::strerror(errno));
      return static_cast<std::size_t>(n);
    }
  });
}

bool has_blank_line(std::string_view text) {
  bool content = false, blank = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view line = line_at(text, at, at);
    if (is_blank(line)) {
      blank = content;
    } else if (blank) {
      return true;
    } else {
      content = true;
    }
  }
  return false;
}

// From the first input: JSON and WikiExtractor show at once; several files are a document each, one
// file is cut at blank lines.
DocumentRule guess(const std::string& name, std::string_view text, bool several) {
  std::string stem = name;
  if (ends_with(stem, ".gz")) stem.resize(stem.size() - 3);
  if (ends_with(stem, ".jsonl") || ends_with(stem, ".ndjson")) return DocumentRule::jsonl;
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos) {
    if (text.substr(start, 5) == "<doc ") return DocumentRule::wiki;
    std::size_t next = start;
    const std::string_view line = line_at(text, start, next);
    if (line.front() == '{' && nlohmann::json::accept(line)) return DocumentRule::jsonl;
  }
  return !several && has_blank_line(text) ? DocumentRule::blank_line : DocumentRule::file;
}

}  // namespace

const char* name_of(DocumentRule rule) {
  switch (rule) {
    case DocumentRule::automatic:
      return "auto";
    case DocumentRule::file:
      return "file";
    case DocumentRule::blank_line:
      return "blank-line";
    case DocumentRule::line:
      return "line";
    case DocumentRule::jsonl:
      return "jsonl";
    case DocumentRule::wiki:
      return "wiki";
  }
  return "?";
}

std::vector<std::string> list_input_files(const std::vector<std::string>& inputs) {
  require(!inputs.empty(), "no INPUT: name files, directories or - for standard input");
  require(std::count(inputs.begin(), inputs.end(), "-") <= 1,
          "INPUT - (standard input) is named twice");
  std::vector<std::string> files;
  for (const std::string& input : inputs) {
    std::error_code error;
    const fs::file_status status = fs::status(input, error);
    if (input == "-") {
      files.push_back(input);
    } else if (fs::is_directory(status)) {
      std::vector<std::string> below;
      for (fs::recursive_directory_iterator at(input, error), end; !error && at != end;
           at.increment(error)) {
        std::error_code unreadable;
        if (at->is_regular_file(unreadable)) below.push_back(at->path().string());
      }
      require(!error, "cannot list INPUT ", input, ": ", error.message());
      require(!below.empty(), "INPUT ", input, " is a directory without files");
      std::sort(below.begin(), below.end());
      files.insert(files.end(), below.begin(), below.end());
    } else {
      require(fs::exists(status), "INPUT ", input, " is not there");
      require(access(input.c_str(), R_OK) == 0, "cannot read INPUT ", input, ": ",
              std::strerror(errno));
      files.push_back(input);
    }
  }
  return files;
}

Documents::Documents(const CorpusBuild& build, const std::string& scratch)
    : rule_(build.documents), json_key_(build.json_key) {
  const std::vector<std::string> files = list_input_files(build.inputs);
  for (const std::string& name : files) {
    const std::string unpacked = build_string(scratch, "/input-", inputs_.size());
    std::error_code error;
    if (name == "-") {
      copy_stdin(unpacked);
    } else if (ends_with(name, ".gz")) {
      unpack(name, unpacked);
    } else if (!fs::is_regular_file(name, error)) {  // a pipe: its size shows only at its end
      const int file = open(name.c_str(), O_RDONLY | O_CLOEXEC);
      require(file >= 0, "cannot open INPUT ", name, ": ", std::strerror(errno));
      spool(unpacked, [file](char* data, std::size_t size) {
        const ssize_t n = read(file, data, size);
        return static_cast<std::size_t>(std::max<ssize_t>(n, 0));
      });
      close(file);
    }
    inputs_.push_back({name, MappedFile(fs::exists(unpacked, error) ? unpacked : name)});
  }
  if (rule_ == DocumentRule::automatic)
    rule_ = guess(inputs_[0].name, inputs_[0].file.text(), inputs_.size() > 1);
  for (std::uint32_t i = 0; i < inputs_.size(); ++i) split(i);
  require(bytes_ > 0, "INPUT ", build.inputs[0], build.inputs.size() > 1 ? " ..." : "",
          " holds no text (--documents ", name_of(rule_),
          "): a corpus needs at least one document");
}

void Documents::add(std::uint32_t input, std::uint64_t begin, std::uint64_t end) {
  ranges_.push_back({begin, end - begin, input});
  bytes_ += end - begin;
}

void Documents::split(std::uint32_t input) {
  switch (rule_) {
    case DocumentRule::line:
      return split_lines(input, false);
    case DocumentRule::jsonl:
      return split_lines(input, true);
    case DocumentRule::blank_line:
      return split_at_blank_lines(input);
    case DocumentRule::wiki:
      return split_wiki(input);
    case DocumentRule::file:
    case DocumentRule::automatic:
      return add(input, 0, inputs_[input].file.size());
  }
}

void Documents::split_lines(std::uint32_t input, bool json) {
  const std::string_view text = inputs_[input].file.text();
  for (std::size_t at = 0, next = 0; at < text.size(); at = next) {
    const std::string_view line = line_at(text, at, next);
    const std::size_t end = before_line_end(text, at, at + line.size());
    if (json ? !is_blank(line) : end > at) add(input, at, end);
  }
}

void Documents::split_at_blank_lines(std::uint32_t input) {
  const std::string_view text = inputs_[input].file.text();
  std::size_t begin = 0, end = 0;  // of the document so far; equal: none
  for (std::size_t at = 0, next = 0; at < text.size(); at = next) {
    const std::string_view line = line_at(text, at, next);
    if (!is_blank(line)) {
      if (begin == end) begin = at;
      end = at + line.size();
    } else if (begin != end) {
      add(input, begin, before_line_end(text, begin, end));
      begin = end = 0;
    }
  }
  if (begin != end) add(input, begin, before_line_end(text, begin, end));
}

void Documents::split_wiki(std::uint32_t input) {
  const std::string_view text = inputs_[input].file.text();
  const std::string& name = inputs_[input].name;
  bool inside = false, any = false;
  std::size_t begin = 0, number = 0;
  for (std::size_t at = 0, next = 0; at < text.size(); at = next) {
    const std::string_view line = line_at(text, at, next);
    ++number;
    if (line.substr(0, 5) == "<doc ") {
      require(!inside, name, " line ", number, ": <doc> inside a <doc>");
      inside = any = true;
      begin = next;
    } else if (inside && line.substr(0, 6) == "</doc>") {
      add(input, begin, before_line_end(text, begin, at));
      inside = false;
    }
  }
  require(!inside, name, ": the last <doc> has no </doc>: the file is cut short");
  require(any, name,
          ": no line begins with <doc: --documents wiki reads what WikiExtractor writes");
}

std::string Documents::place(std::uint64_t document) const {
  const Range& range = ranges_[document];
  const std::string_view before = inputs_[range.input].file.text().substr(0, range.begin);
  return build_string(inputs_[range.input].name, " line ",
                      std::count(before.begin(), before.end(), '\n') + 1);
}

std::string_view Documents::text(std::uint64_t document, std::string& storage) const {
  const Range& range = ranges_[document];
  const std::string_view text = inputs_[range.input].file.text().substr(range.begin, range.length);
  if (rule_ != DocumentRule::jsonl) return text;
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& problem) {
    require(false, place(document), " is not valid JSON: ", problem.what());
  }
  require(object.is_object(), place(document), " is not a JSON object");
  const auto found = object.find(json_key_);
  require(found != object.end() && found->is_string(), place(document), " has no string \"",
          json_key_, "\": name the text's key with --json-key");
  storage = std::move(found->get_ref<std::string&>());
  return storage;
}

}  // namespace lockstep
