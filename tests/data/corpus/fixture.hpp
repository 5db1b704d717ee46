// A scratch directory, small texts and corpora for the tests of this folder.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "data/corpus_writer.hpp"

namespace lockstep {

class Scratch : public testing::Test {
 protected:
  Scratch() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "lockstep-corpus-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
  }
  ~Scratch() override { std::filesystem::remove_all(root_); }

  std::string path(const std::string& name) const { return root_ + "/" + name; }
  std::string write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }

  CorpusBuild build_of(const std::string& output, const std::vector<std::string>& inputs) const {
    CorpusBuild build;
    build.output = path(output);
    build.inputs = inputs;
    build.tokenizer = "bytes";
    return build;
  }

  // Words w0..w9 in sentences and documents of random length; only words of the WordPiece
  // vocabulary below and '.'.
  static std::string prose(int documents, unsigned seed, int most_sentences = 12) {
    std::mt19937 draw(seed);
    std::string text;
    for (int d = 0; d < documents; ++d) {
      const unsigned sentences = 1 + draw() % static_cast<unsigned>(most_sentences);
      for (unsigned s = 0; s < sentences; ++s) {
        const unsigned words = 1 + draw() % 9;
        text += s == 0 ? "" : " ";
        for (unsigned w = 0; w < words; ++w)
          text += (w == 0 ? "W" : " w") + std::to_string(draw() % 10);
        text += ".";
      }
      text += "\n\n";
    }
    return text;
  }

  std::string wordpiece() const {
    std::string vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n.\n";
    for (int i = 0; i < 10; ++i) vocab += "w" + std::to_string(i) + "\n";
    return write("vocab/vocab.txt", vocab);
  }

  static std::string message_of(const std::function<void()>& act, ExitCode code) {
    try {
      act();
    } catch (const Error& error) {
      EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "no error";
    return "";
  }

 private:
  std::string root_;
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

}  // namespace lockstep
