// manifest.json of a corpus: as it is, and with the digest that lets it through.
#include "core/checksum.hpp"
#include "data/manifest.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const lockstep::fuzz::Scratch scratch;
  const std::string text(lockstep::fuzz::text_of(data, size));
  const auto read = [&](const std::string& content) {
    scratch.write(lockstep::Manifest::file_name, content);
    lockstep::fuzz::expect_error_or_success([] { lockstep::read_manifest(scratch.directory()); });
  };
  read(text);
  const std::string body = text.substr(0, text.rfind(",\n  \"manifest_sha256\""));
  lockstep::Sha256 sha;
  sha.update(body.data(), body.size());
  read(body + ",\n  \"manifest_sha256\": \"" + sha.hex() + "\"\n}\n");
  return 0;
}
