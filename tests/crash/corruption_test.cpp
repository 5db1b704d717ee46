// Damage of every kind to every file of a checkpoint and of a corpus: none is accepted by verify,
// none crashes a reader, and what a load accepts is right to the last bit. LOCKSTEP_SOAK=1: 5,000
// of each instead of some hundred.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include <gtest/gtest.h>

#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "data/corpus.hpp"
#include "data/corpus_writer.hpp"
#include "tests/parallel/checkpoint/run_state.hpp"
#include "tests/support/temporary_directory.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

int num_damages() { return std::getenv("LOCKSTEP_SOAK") != nullptr ? 5000 : 300; }

void write(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

// One damage of one file of a directory, and back.
class Damager {
 public:
  explicit Damager(const std::string& directory) {
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      if (entry.is_regular_file()) files_.push_back(entry.path().string());
    }
    std::sort(files_.begin(), files_.end());
  }

  // Says what it did.
  std::string damage() {
    file_ = files_[draw(files_.size())];
    content_ = read_file(file_);
    std::string changed = content_;
    const std::size_t kind = draw(6);
    const char* names[] = {"bit", "page", "cut", "tail", "missing", "other file's content"};
    switch (kind) {
      case 0:
        changed[draw(changed.size())] ^= static_cast<char>(1 << draw(8));
        break;
      case 1:
        lose_page(changed);
        break;
      case 2:
        changed.resize(draw(changed.size()));
        break;
      case 3:
        changed.append(1 + draw(5000), static_cast<char>(draw(256)));
        break;
      case 4:
        fs::remove(file_);
        return build_string(names[kind], ": ", file_);
      default:
        changed = read_file(files_[draw(files_.size())]);
    }
    if (changed == content_) changed += '\n';
    write(file_, changed);
    return build_string(names[kind], ": ", file_);
  }
  void repair() const { write(file_, content_); }

 private:
  std::size_t draw(std::size_t bound) { return random_() % bound; }

  // 4 KiB that are not all zero become zero.
  void lose_page(std::string& content) {
    const std::size_t page = draw((content.size() + 4095) / 4096) * 4096;
    for (std::size_t i = page; i < std::min(page + 4096, content.size()); ++i) content[i] = 0;
  }

  std::vector<std::string> files_;
  std::string file_, content_;
  std::mt19937_64 random_{17};
};

bool accepted(const std::function<void()>& act) {
  try {
    act();
    return true;
  } catch (const Error&) {
    return false;
  }
}

TEST(Corruption, NoDamageOfACheckpointIsAcceptedOrUsed) {
  const test::TemporaryDirectory directory;
  test::RunState state{test::Layout{}};
  state.fill();
  const std::string path = state.save(directory.file("checkpoints"), 12).path;
  Damager damager(path);

  for (int i = 0; i < num_damages(); ++i) {
    const std::string what = damager.damage();

    EXPECT_FALSE(accepted([&] { verify_checkpoint(path); })) << what;
    state.fill_wrong();
    if (accepted([&] { state.load(path); })) {
      EXPECT_EQ(state.num_wrong(), 0) << what;
    }
    damager.repair();
  }

  EXPECT_TRUE(accepted([&] { verify_checkpoint(path); }));
}

TEST(Corruption, NoDamageOfACorpusIsAccepted) {
  const test::TemporaryDirectory directory;
  std::string text;
  for (int i = 0; i < 2000; ++i) text += build_string("line ", i * i, i % 7 == 0 ? "\n\n" : "\n");
  write(directory.file("text.txt"), text);
  CorpusBuild build;
  build.output = directory.file("corpus");
  build.inputs = {directory.file("text.txt")};
  build.tokenizer = "bytes";
  build.documents = DocumentRule::blank_line;
  build_corpus(build, {});
  Damager damager(build.output);

  for (int i = 0; i < num_damages(); ++i) {
    const std::string what = damager.damage();

    EXPECT_FALSE(accepted([&] { verify_corpus(build.output); })) << what;
    damager.repair();
  }

  EXPECT_TRUE(accepted([&] { verify_corpus(build.output); }));
}

}  // namespace
}  // namespace lockstep
