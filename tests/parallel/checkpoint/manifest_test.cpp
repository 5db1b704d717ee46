#include "parallel/checkpoint/manifest.hpp"

#include <cstdio>
#include <functional>

#include <gtest/gtest.h>

#include "core/checksum.hpp"
#include "tests/support/error_of.hpp"

namespace lockstep::checkpoint {
namespace {

// One parameter "w" (4, 2) whose rows 0-1 lie in one file, rows 2-3 in another; m and v likewise.
Manifest sample() {
  Manifest manifest;
  manifest.meta = {.step = 123,
                   .consumed_samples = 456,
                   .seed = 0xFFFFFFFFFFFFFFFFu,
                   .corpus_fingerprint = "f00d",
                   .options = {{"learning-rate", "0.001"}, {"corpus", "a \"quoted\"\npath"}},
                   .layout = {{"dp", "2"}}};
  manifest.files = {{"rank-00000.h5", 1000, 0x12345678}, {"rank-00001.h5", 2000, 0x00000001}};
  manifest.parameters = {{"w", {4, 2}}};
  for (TileKind kind : {TileKind::weight, TileKind::m, TileKind::v}) {
    const auto number = static_cast<std::uint64_t>(kind);
    manifest.tiles.push_back(
        {"w", kind, 0, "/tiles/000000/x", 100 + 16 * number, {0, 2, 0, 2}, DType::f32, 7});
    manifest.tiles.push_back(
        {"w", kind, 1, "/tiles/000000/x", 100 + 32 * number, {2, 4, 0, 2}, DType::f64, 8});
  }
  return manifest;
}

test::Failure refusal_of(const std::string& text) {
  return test::error_of([&] { parse_manifest(text, "dir/manifest.json"); });
}

TEST(Manifest, ReadsBackWhatItPrinted) {
  const Manifest before = sample();

  const Manifest after = parse_manifest(print_manifest(before), "m");

  EXPECT_EQ(after.meta.step, 123);
  EXPECT_EQ(after.meta.consumed_samples, 456);
  EXPECT_EQ(after.meta.seed, before.meta.seed);
  EXPECT_EQ(after.meta.corpus_fingerprint, "f00d");
  EXPECT_EQ(after.meta.options, before.meta.options);
  EXPECT_EQ(after.meta.layout, before.meta.layout);
  EXPECT_EQ(after.parameters, before.parameters);
  ASSERT_EQ(after.tiles.size(), 6u);
  EXPECT_EQ(after.tiles[3].rectangle, before.tiles[3].rectangle);
  EXPECT_EQ(after.tiles[3].kind, TileKind::m);
  EXPECT_EQ(after.tiles[3].dtype, DType::f64);
  EXPECT_EQ(after.tiles[3].offset, 132u);
  EXPECT_EQ(after.files[1].crc, 1u);
  EXPECT_EQ(print_manifest(after), print_manifest(before));
}

TEST(Manifest, EveryChangedByteIsRefused) {
  const std::string text = print_manifest(sample());

  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int change : {1, 2, 32, 128}) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(damaged[i] ^ change);
      const test::Failure failure = refusal_of(damaged);
      EXPECT_TRUE(failure.code == ExitCode::failed && failure.names("dir/manifest.json"))
          << i << ": " << failure.message;
    }
  }
}

TEST(Manifest, EveryLengthButItsOwnIsRefused) {
  const std::string text = print_manifest(sample());

  for (std::size_t length = 0; length < text.size(); ++length) refusal_of(text.substr(0, length));
  for (const char* more : {" ", "\n", "}", "{}"}) refusal_of(text + more);
  refusal_of(text + std::string(1, '\0'));
  refusal_of(text + text);
  refusal_of(" " + text);

  EXPECT_EQ(parse_manifest(text, "m").meta.step, 123);
}

// Text with a good CRC and one field replaced: what a bug or an attacker could write.
std::string forged(const std::string& from, const std::string& to) {
  std::string text = print_manifest(sample());
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  text.resize(text.rfind("\"crc32c\""));
  char closing[64];
  std::snprintf(closing, sizeof closing, "\"crc32c\": \"%08x\"\n}\n",
                crc32c(text.data(), text.size()));
  return text + closing;
}

TEST(Manifest, EveryFieldIsChecked) {
  const struct {
    const char *from, *to, *word;
  } cases[] = {
      {"lockstep-checkpoint", "lockstep-corpus", "format"},
      {"\"version\": 1", "\"version\": 2", "version"},
      {"\"step\": 123", "\"step\": -1", "step"},
      {"\"step\": 123", "\"step\": 1e3", "step"},
      {"\"step\": 123", "\"step\": 9223372036854775808", "step"},
      {"\"step\": 123", "\"stop\": 123", "step"},
      {"\"seed\": 18446744073709551615", "\"seed\": \"1\"", "seed"},
      {"\"options\": {", "\"options\": {\"x\": 1, ", "options.x"},
      {"\"options\": {", "\"options\": [], \"y\": {", "options"},
      {"rank-00000.h5", "../../etc/pass", "name"},
      {"rank-00000.h5", "rank-0/000.h5", "name"},
      {"rank-00000.h5", "rank-00001.h5", "twice"},
      {"\"bytes\":1000", "\"bytes\":110", "offset"},
      {"\"crc32c\":\"12345678\"", "\"crc32c\":\"1234567g\"", "crc32c"},
      {"{\"w\":[4,2]}", "{\"w\":[]}", "w"},
      {"{\"w\":[4,2]}", "{\"w\":[4,0]}", "w"},
      {"{\"w\":[4,2]}", "{\"w\":[1,1,1,1,1]}", "w"},
      {"{\"w\":[4,2]}", "{\"w\":[4611686018427387904,4]}", "w"},
      {"{\"w\":[4,2]}", "{\"w\":[5,2]}", "not whole"},
      {"{\"w\":[4,2]}", "{\"w\":[4,2],\"u\":[1]}", "u is not whole"},
      {"{\"w\":[4,2]}", "{\"w\":[3,2]}", "rows"},
      {"\"columns\":[0,2]", "\"columns\":[0,3]", "columns"},
      {"\"columns\":[0,2]", "\"columns\":[2,2]", "columns"},
      {"\"columns\":[0,2]", "\"columns\":[0,1]", "bytes"},
      {"\"rows\":[0,2]", "\"rows\":[1,3]", "twice"},
      {"\"rows\":[0,2]", "\"rows\":[2]", "rows"},
      {"\"kind\":\"weight\"", "\"kind\":\"w\"", "kind"},
      {"\"dtype\":\"fp32\"", "\"dtype\":\"fp16\"", "dtype"},
      {"\"file\":0", "\"file\":2", "file"},
      {"\"offset\":100", "\"offset\":18446744073709551615", "offset"},
      {"\"offset\":100", "\"offset\":101", "share bytes"},
      {"\"parameter\":\"w\"", "\"parameter\":\"u\"", "parameter"},
      {"\"tiles\": [", "\"tiles\": [5,", "tiles[0]"},
      {"\"tiles\": [", "\"tiles\": {}, \"z\": [", "tiles"},
      {"\"version\": 1", "\"version\": 1,,", "not JSON"},
  };
  for (const auto& each : cases) {
    const test::Failure failure = refusal_of(forged(each.from, each.to));
    EXPECT_EQ(failure.code, ExitCode::failed);
    EXPECT_TRUE(failure.names(each.word) && failure.names("dir/manifest.json"))
        << each.to << ": " << failure.message;
  }
}

TEST(Manifest, PartsOfRanksBecomeOne) {
  const Manifest whole = sample();
  Manifest joined;
  for (std::size_t file = 0; file < 2; ++file) {
    Manifest part;
    part.files = {whole.files[file]};
    part.parameters = whole.parameters;
    for (Tile tile : whole.tiles) {
      if (tile.file != file) continue;
      tile.file = 0;
      part.tiles.push_back(tile);
    }
    joined.append(parse_part(print_manifest(part), "part"));
  }

  joined.meta = whole.meta;

  EXPECT_EQ(parse_manifest(print_manifest(joined), "m").tiles.size(), 6u);
  EXPECT_EQ(joined.bytes(), 3000u);
}

TEST(Manifest, StepNamesSortAsSteps) {
  EXPECT_EQ(step_name(5), "step-000000005");
  EXPECT_EQ(step_name(1234567890), "step-1234567890");
}

}  // namespace
}  // namespace lockstep::checkpoint
