#include "data/manifest.hpp"

#include <filesystem>
#include <limits>
#include <set>

#include <nlohmann/json.hpp>

#include "core/checksum.hpp"
#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "data/mapped_file.hpp"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view digest_opening = ",\n  \"manifest_sha256\": \"";
constexpr std::string_view digest_closing = "\"\n}\n";
constexpr std::uint64_t most_shard_tokens = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t most_shards = 100000;  // five digits in a file name

std::string digest_of(std::string_view text) {
  Sha256 sha;
  sha.update(text.data(), text.size());
  return sha.hex();
}

// One object of the manifest, with its place in the file for messages.
class Fields {
 public:
  Fields(const std::string& file, std::string place, const Json& object)
      : file_(file), place_(std::move(place)), object_(object) {
    require(object.is_object(), file_, ": ", place_.empty() ? "the manifest" : place_,
            " is not an object");
  }

  const Json& at(const std::string& field) const {
    const auto found = object_.find(field);
    require(found != object_.end(), name(field), " is missing");
    return *found;
  }
  std::uint64_t number(const std::string& field, std::uint64_t least, std::uint64_t most) const {
    const Json& value = at(field);
    require(value.is_number_unsigned() && value.get<std::uint64_t>() >= least &&
                value.get<std::uint64_t>() <= most,
            name(field), " is ", shown(value), ", not an integer from ", least, " to ", most);
    return value.get<std::uint64_t>();
  }
  double real(const std::string& field) const {
    const Json& value = at(field);
    require(value.is_number(), name(field), " is ", shown(value), ", not a number");
    return value.get<double>();
  }
  bool flag(const std::string& field) const {
    const Json& value = at(field);
    require(value.is_boolean(), name(field), " is ", shown(value), ", not true or false");
    return value.get<bool>();
  }
  std::string text(const std::string& field) const {
    const Json& value = at(field);
    require(value.is_string(), name(field), " is ", shown(value), ", not a string");
    return value.get<std::string>();
  }
  std::string digest(const std::string& field) const {
    const std::string value = text(field);
    require(value.size() == 64 && value.find_first_not_of("0123456789abcdef") == std::string::npos,
            name(field), " is \"", value.substr(0, 80),
            "\", not a SHA-256 in 64 hexadecimal digits");
    return value;
  }
  // A name inside one directory: it must not lead out of the corpus.
  std::string file_name(const std::string& field) const {
    const std::string value = text(field);
    require(!value.empty() && value != "." && value != ".." &&
                value.find('/') == std::string::npos && value.find('\0') == std::string::npos,
            name(field), " is ", shown(at(field)), ", not a file name");
    return value;
  }
  std::vector<Fields> list(const std::string& field) const {
    const Json& value = at(field);
    require(value.is_array(), name(field), " is ", shown(value), ", not a list");
    std::vector<Fields> items;
    for (std::size_t i = 0; i < value.size(); ++i) {
      items.emplace_back(file_, build_string(place_, field, "[", i, "]."), value[i]);
    }
    return items;
  }
  Fields object(const std::string& field) const { return {file_, place_ + field + ".", at(field)}; }
  std::string name(const std::string& field) const {
    return build_string(file_, ": ", place_, field);
  }
  static std::string shown(const Json& value) {
    return value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 80);
  }

 private:
  const std::string& file_;
  std::string place_;
  const Json& object_;
};

Json optional_id(const std::optional<std::int32_t>& id) { return id ? Json(*id) : Json(nullptr); }

std::optional<std::int32_t> read_id(const Fields& fields,
                                    const std::string& name,
                                    index_t vocab_size) {
  if (fields.at(name).is_null()) return std::nullopt;
  return static_cast<std::int32_t>(
      fields.number(name, 0, static_cast<std::uint64_t>(vocab_size) - 1));
}

void read_tokenizer(const Fields& fields, Manifest& manifest) {
  CorpusInfo& info = manifest.info;
  info.tokenizer_kind = fields.text("kind");
  info.vocab_size = static_cast<index_t>(fields.number("vocab_size", 1, (1u << 31) - 2));
  manifest.info.tokenizer_sha256 = fields.digest("sha256");
  const Fields ids = fields.object("special_ids");
  SpecialIds& specials = info.specials;
  specials.eod = read_id(ids, "eod", info.vocab_size);
  specials.pad = read_id(ids, "pad", info.vocab_size);
  specials.unknown = read_id(ids, "unknown", info.vocab_size);
  specials.cls = read_id(ids, "cls", info.vocab_size);
  specials.sep = read_id(ids, "sep", info.vocab_size);
  specials.mask = read_id(ids, "mask", info.vocab_size);
  const auto vocab_size = static_cast<std::uint64_t>(info.vocab_size);
  const Fields random = fields.object("random_ids");
  info.random_ids.first = static_cast<std::int32_t>(random.number("first", 0, vocab_size - 1));
  info.random_ids.second = static_cast<std::int32_t>(
      random.number("last", static_cast<std::uint64_t>(info.random_ids.first) + 1, vocab_size));
  for (const Fields& file : fields.list("files")) {
    manifest.tokenizer_files.push_back(
        {file.file_name("file"), file.number("bytes", 0, std::numeric_limits<std::int64_t>::max()),
         file.digest("sha256")});
  }
}

void read_shards(const Fields& fields, const std::string& path, Manifest& manifest) {
  CorpusInfo& info = manifest.info;
  std::uint64_t documents = 0, sentences = 0, tokens = 0;
  std::set<std::string> seen;
  for (const Fields& shard : fields.list("shards")) {
    ShardEntry entry;
    entry.file = shard.file_name("file");
    entry.split = shard.text("split");
    entry.bytes = shard.number("bytes", 1, std::numeric_limits<std::int64_t>::max());
    entry.sha256 = shard.digest("sha256");
    entry.documents = shard.number("documents", 1, most_shard_tokens);
    entry.sentences = shard.number("sentences", 0, info.has_sentences ? most_shard_tokens : 0);
    entry.tokens = shard.number("tokens", 0, most_shard_tokens);
    require(seen.insert(entry.file).second, shard.name("file"), " names ", entry.file, " twice");
    require(entry.split == "train" || entry.split == "validation", shard.name("split"), " is \"",
            entry.split, "\", not train or validation");
    require(manifest.shards.size() < most_shards, path, ": more than ", most_shards, " shards");
    documents += entry.documents;
    sentences += entry.sentences;
    tokens += entry.tokens;
    info.shards.push_back(entry.file);
    if (info.splits.empty() || info.splits.back() != entry.split)
      info.splits.push_back(entry.split);
    manifest.shards.push_back(std::move(entry));
  }
  require(!manifest.shards.empty(), path, ": shards is empty: a corpus has at least one");
  require(info.splits.size() == 1 || (info.splits.size() == 2 && info.splits.front() == "train"),
          path, ": shards must list those of train before those of validation");
  require(documents == info.documents && sentences == info.sentences && tokens == info.tokens, path,
          ": documents, sentences and tokens are not the sums over its shards");
}

// The part before the digest, after comparing the digest.
std::string_view checked_body(const std::string& path, std::string_view text) {
  const std::size_t tail = digest_opening.size() + 64 + digest_closing.size();
  const bool whole = text.size() > tail &&
                     text.substr(text.size() - digest_closing.size()) == digest_closing &&
                     text.substr(text.size() - tail, digest_opening.size()) == digest_opening;
  require(whole, path, " is cut short or not the manifest of a corpus: build the corpus again");
  const std::string_view body = text.substr(0, text.size() - tail);
  require(text.substr(text.size() - tail + digest_opening.size(), 64) == digest_of(body), path,
          " is damaged: its checksum manifest_sha256 does not match: build the corpus again");
  return body;
}

}  // namespace

std::string Manifest::to_text() const {
  Json root;
  root["format"] = info.format;
  root["format_major"] = format_major;
  root["format_minor"] = format_minor;
  root["name"] = info.name;
  root["corpus_uuid"] = uuid;
  root["fingerprint"] = info.fingerprint;
  root["tool_version"] = tool_version;
  root["documents"] = info.documents;
  root["sentences"] = info.sentences;
  root["tokens"] = info.tokens;
  root["token_bytes"] = token_bytes;
  root["eod_appended"] = eod_appended;
  root["has_sentences"] = info.has_sentences;
  root["sentence_rule"] = sentence_rule;
  root["seed"] = seed;
  root["validation_fraction"] = validation_fraction;
  root["sources"] = sources;
  Json& tokenizer = root["tokenizer"];
  tokenizer["kind"] = info.tokenizer_kind;
  tokenizer["vocab_size"] = info.vocab_size;
  tokenizer["sha256"] = info.tokenizer_sha256;
  const SpecialIds& s = info.specials;
  tokenizer["special_ids"] = {{"eod", optional_id(s.eod)},         {"pad", optional_id(s.pad)},
                              {"unknown", optional_id(s.unknown)}, {"cls", optional_id(s.cls)},
                              {"sep", optional_id(s.sep)},         {"mask", optional_id(s.mask)}};
  tokenizer["random_ids"] = {{"first", info.random_ids.first}, {"last", info.random_ids.second}};
  tokenizer["files"] = Json::array();
  for (const FileEntry& file : tokenizer_files) {
    tokenizer["files"].push_back(
        {{"file", file.file}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  root["shards"] = Json::array();
  for (const ShardEntry& shard : shards) {
    root["shards"].push_back({{"file", shard.file},
                              {"split", shard.split},
                              {"bytes", shard.bytes},
                              {"sha256", shard.sha256},
                              {"documents", shard.documents},
                              {"sentences", shard.sentences},
                              {"tokens", shard.tokens}});
  }
  // Inputs may have names that are not UTF-8: those bytes are replaced.
  std::string text = root.dump(2, ' ', false, Json::error_handler_t::replace);
  text.resize(text.size() - 2);  // "\n}"
  const std::string digest = digest_of(text);
  text.append(digest_opening).append(digest).append(digest_closing);
  return text;
}

void Manifest::write(const std::string& directory) const {
  write_file_durably(directory + "/" + file_name, to_text());
}

Manifest read_manifest(const std::string& directory) {
  std::error_code error;
  require(std::filesystem::is_directory(directory, error), "corpus ", directory,
          " is not there, or not a directory: `lockstep corpus build` makes one");
  const std::string path = directory + "/" + Manifest::file_name;
  require(std::filesystem::is_regular_file(path, error), path,
          " is missing: this is no corpus, or its build was interrupted: build it again");
  const std::string text = read_file(path);
  Json root;
  try {
    root = Json::parse(std::string(checked_body(path, text)) + "\n}");
  } catch (const Json::exception& problem) {
    require(false, path, " is not valid JSON: ", problem.what());
  }

  Manifest manifest;
  CorpusInfo& info = manifest.info;
  const Fields fields(path, "", root);
  info.directory = directory;
  info.format = fields.text("format");
  require(info.format == Manifest::format, fields.name("format"), " is \"", info.format,
          "\", not \"", Manifest::format, "\"");
  const std::uint64_t major = fields.number("format_major", 0, most_shard_tokens);
  require(major == Manifest::format_major, fields.name("format_major"), " is ", major,
          ", this program reads ", Manifest::format_major,
          ": build the corpus again with this program");
  info.name = fields.text("name");
  manifest.uuid = fields.text("corpus_uuid");
  info.fingerprint = fields.digest("fingerprint");
  manifest.tool_version = fields.text("tool_version");
  constexpr std::uint64_t most = std::uint64_t{1} << 62;
  info.documents = fields.number("documents", 1, most);
  info.sentences = fields.number("sentences", 0, most);
  info.tokens = fields.number("tokens", 0, most);
  manifest.token_bytes = fields.number("token_bytes", 2, 4);
  require(manifest.token_bytes != 3, fields.name("token_bytes"), " is 3, not 2 or 4");
  manifest.eod_appended = fields.flag("eod_appended");
  info.has_sentences = fields.flag("has_sentences");
  manifest.sentence_rule = fields.text("sentence_rule");
  manifest.seed = fields.number("seed", 0, std::numeric_limits<std::uint64_t>::max());
  manifest.validation_fraction = fields.real("validation_fraction");
  read_tokenizer(fields.object("tokenizer"), manifest);
  require(!manifest.eod_appended || info.specials.eod, fields.name("eod_appended"),
          " is true, but the tokenizer has no end-of-document id");
  require(manifest.token_bytes == 4 || info.vocab_size <= 65536, fields.name("token_bytes"),
          " is 2, too small for a vocabulary of ", info.vocab_size);
  read_shards(fields, path, manifest);
  return manifest;
}

std::string tokenizer_digest(const Tokenizer& tokenizer) {
  Sha256 sha;
  const auto add = [&sha](const std::string& text) {
    const std::uint64_t size = text.size();
    sha.update(&size, sizeof size);
    sha.update(text.data(), text.size());
  };
  add(tokenizer.kind());
  for (const auto& [name, content] : tokenizer.files()) {
    add(name);
    add(content);
  }
  return sha.hex();
}

FileEntry measure_file(const std::string& path) {
  const MappedFile file(path);
  Sha256 sha;
  if (file.size() > 0) sha.update(file.data(), file.size());
  return {std::filesystem::path(path).filename().string(), file.size(), sha.hex()};
}

}  // namespace lockstep
