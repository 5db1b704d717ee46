// manifest.json of a checkpoint: as it is, and with the checksum that lets it through.
#include <algorithm>

#include "core/checksum.hpp"
#include "parallel/checkpoint/manifest.hpp"
#include "parallel/checkpoint/manifest_format.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace checkpoint = lockstep::checkpoint;
  const std::string text(lockstep::fuzz::text_of(data, size));
  lockstep::fuzz::expect_error_or_success(
      [&] { checkpoint::parse_manifest(text, "manifest.json"); });
  lockstep::fuzz::expect_error_or_success([&] {
    const std::size_t closing = checkpoint::closing_lines(0).size();
    const std::string body = text.substr(0, text.size() - std::min(text.size(), closing));
    checkpoint::parse_manifest(
        body + checkpoint::closing_lines(lockstep::crc32c(body.data(), body.size())),
        "manifest.json");
  });
  return 0;
}
