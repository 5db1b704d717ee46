// What the tokenizer tests share: a directory that goes away, ids as a value, errors as text.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "data/tokenizer/tokenizer.hpp"

namespace lockstep::test {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "lockstep-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // Returns the path.
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(*this / name, std::ios::binary) << content;
    return *this / name;
  }

 private:
  std::string path_;
};

using Ids = std::vector<std::int32_t>;

inline Ids ids_of(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  tokenizer.encode(text, ids);
  return ids;
}

// The message of the refusal, which must be one line; "" when nothing was thrown.
inline std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::refused);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "";
}

// The tokenizer that a directory with these files gives.
inline std::unique_ptr<Tokenizer> reopened(const Tokenizer& tokenizer,
                                           const TemporaryDirectory& directory) {
  for (const auto& [name, content] : tokenizer.files()) directory.write(name, content);
  return open_tokenizer(directory.path());
}

// Texts that break naive tokenizers: odd spaces, format characters, emoji, CJK, combining marks,
// NUL, malformed UTF-8.
inline std::vector<std::string> adversarial_texts() {
  return {"",
          " ",
          "  two  spaces ",
          "tab\tnbsp\u00A0em\u2003line\u2028sep\u2029nel\u0085x\u180Ey",
          "soft\u00ADhyphen zero\u200Bwidth \uFEFFbom",
          "\U0001F600\U0001F469\u200D\U0001F467 \u2665",
          "\u4E2D\u6587 \u65E5\u672C\u8A9E \uD55C\uAD6D \U00020000",
          "e\u0301 \u00E9 \u0130 \u1E9E \u03A3\u039F\u03A3 \uFB01",
          "it's WE'LL they'd 'tis ''s",
          std::string("nul\0byte", 8),
          "\xFF\xFE lone \x80 cut \xE2\x82",
          "\xED\xA0\x80 surrogate \xC0\xAF overlong \xF5\x80",
          std::string(300, 'a'),
          "\r\n\r\n \n"};
}

}  // namespace lockstep::test
