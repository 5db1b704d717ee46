// Tokenizer files. The first byte chooses the kind of file; where there are two (vocabulary and
// merges) a zero byte parts them.
#include "data/tokenizer/tokenizer.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

constexpr const char* names[][2] = {{"vocab.txt", nullptr},
                                    {"tokenizer.json", nullptr},
                                    {"vocab.json", "merges.txt"},
                                    {"encoder.json", "vocab.bpe"},
                                    {"characters.json", nullptr}};
constexpr std::size_t num_kinds = sizeof names / sizeof names[0];

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const lockstep::fuzz::Scratch scratch;
  if (size == 0) return 0;
  const auto& kind = names[static_cast<std::size_t>(data[0] - '0') % num_kinds];
  const std::string_view text = lockstep::fuzz::text_of(data + 1, size - 1);
  const std::size_t zero = text.find('\0');
  for (const auto& entry : std::filesystem::directory_iterator(scratch.directory()))
    std::filesystem::remove_all(entry.path());
  scratch.write(kind[0], text.substr(0, zero));
  if (kind[1] != nullptr)
    scratch.write(kind[1], zero == std::string_view::npos ? "" : text.substr(zero + 1));
  lockstep::fuzz::expect_error_or_success([] {
    const auto tokenizer = lockstep::open_tokenizer(scratch.directory());
    std::vector<std::int32_t> ids;
    tokenizer->encode("The cat \xc3\xa9\xff sat. 123", ids);
    tokenizer->decode(ids);
  });
  return 0;
}
