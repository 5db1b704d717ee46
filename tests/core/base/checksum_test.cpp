// Published vectors: RFC 3720 B.4 (CRC-32C), FIPS 180-4 examples (SHA-256).
#include "core/checksum.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace lockstep {
namespace {

std::string sha256(const std::string& text) {
  Sha256 sha;
  sha.update(text.data(), text.size());
  return sha.hex();
}

TEST(Crc32c, GivesThePublishedValues) {
  std::vector<std::uint8_t> rising(32), falling(32);
  for (std::size_t i = 0; i < 32; ++i) {
    rising[i] = static_cast<std::uint8_t>(i);
    falling[i] = static_cast<std::uint8_t>(31 - i);
  }

  EXPECT_EQ(crc32c("123456789", 9), 0xE3069283u);
  EXPECT_EQ(crc32c(std::vector<std::uint8_t>(32, 0x00).data(), 32), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::vector<std::uint8_t>(32, 0xFF).data(), 32), 0x62A8AB43u);
  EXPECT_EQ(crc32c(rising.data(), 32), 0x46DD794Eu);
  EXPECT_EQ(crc32c(falling.data(), 32), 0x113FDB5Cu);
  EXPECT_EQ(crc32c(nullptr, 0), 0u);
}

TEST(Crc32c, OfPartsInOrderIsThatOfTheWhole) {
  const std::string text = "the quick brown fox jumps over the lazy dog";
  const std::uint32_t whole = crc32c(text.data(), text.size());

  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(crc32c(text.data() + cut, text.size() - cut, crc32c(text.data(), cut)), whole) << cut;
  }
}

// Long pieces are summed by three runs at once, short ones byte after byte.
TEST(Crc32c, OfManyBytesIsThatOfTheirSmallParts) {
  std::vector<std::uint8_t> bytes(200'001);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(i * i / 251 + i);
  std::uint32_t expected = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 1000)
    expected = crc32c(&bytes[i], std::min<std::size_t>(1000, bytes.size() - i), expected);

  EXPECT_EQ(crc32c(bytes.data(), bytes.size()), expected);
  for (const std::size_t cut : {0, 1, 24'576, 24'577, 100'000, 200'000, 200'001}) {
    const std::size_t rest = bytes.size() - cut;
    EXPECT_EQ(crc32c_joined(crc32c(bytes.data(), cut), crc32c(bytes.data() + cut, rest), rest),
              expected)
        << cut;
  }
}

TEST(Sha256, GivesThePublishedValues) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, DoesNotDependOnHowTheBytesArrive) {
  const std::string text(200, 'x');

  for (std::size_t cut : {0, 1, 55, 56, 63, 64, 65, 128, 199, 200}) {
    Sha256 sha;
    sha.update(text.data(), cut);
    sha.update(nullptr, 0);
    sha.update(text.data() + cut, text.size() - cut);
    EXPECT_EQ(sha.hex(), sha256(text)) << cut;
  }
}

}  // namespace
}  // namespace lockstep
