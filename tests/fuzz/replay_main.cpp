// Where there is no libFuzzer (any compiler but clang): each file of the corpus, and random changes
// of it, through the target.
//   TARGET [-runs=N] CORPUS...      N changes of each file (default 50)
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.hpp"

namespace {

void run(const std::string& input) {
  // A copy of the exact size: a sanitizer sees each byte read behind it.
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::string changed(std::string text, std::mt19937_64& random) {
  const auto draw = [&](std::size_t bound) { return bound == 0 ? 0 : random() % bound; };
  for (std::size_t i = 0; i <= draw(4); ++i) {
    switch (draw(5)) {
      case 0:
        if (!text.empty()) text[draw(text.size())] = static_cast<char>(draw(256));
        break;
      case 1:
        text.resize(draw(text.size() + 1));
        break;
      case 2:
        text.insert(draw(text.size() + 1), text.substr(draw(text.size() + 1), draw(64)));
        break;
      case 3:
        text.erase(draw(text.size() + 1), draw(16));
        break;
      default:
        text.insert(draw(text.size() + 1), std::to_string(static_cast<std::int64_t>(random())));
    }
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  int runs = 50, inputs = 0;
  std::mt19937_64 random(1);
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "-runs=", 6) == 0) {
      runs = std::atoi(argv[i] + 6);
      continue;
    }
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream in(entry.path(), std::ios::binary);
      const std::string text{std::istreambuf_iterator<char>(in), {}};
      run(text);
      for (int change = 0; change < runs; ++change) run(changed(text, random));
      inputs += 1 + runs;
    }
  }
  std::cout << inputs << " inputs\n";
  return inputs > 0 ? 0 : 1;
}
