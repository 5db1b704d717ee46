// Texts for `corpus build`. The first byte chooses what a document is: JSON lines and <doc> are
// parsed, the others cut.
#include "data/documents.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const lockstep::fuzz::Scratch scratch;
  if (size == 0) return 0;
  constexpr lockstep::DocumentRule rules[] = {
      lockstep::DocumentRule::jsonl, lockstep::DocumentRule::wiki,
      lockstep::DocumentRule::blank_line, lockstep::DocumentRule::automatic};
  lockstep::CorpusBuild build;
  build.inputs = {scratch.write("text", lockstep::fuzz::text_of(data + 1, size - 1))};
  build.tokenizer = "bytes";
  build.documents = rules[static_cast<std::size_t>(data[0]) % std::size(rules)];
  lockstep::fuzz::expect_error_or_success([&] {
    const lockstep::Documents documents(build, scratch.directory());
    std::string storage;
    for (std::uint64_t i = 0; i < documents.count(); ++i) documents.text(i, storage);
  });
  return 0;
}
