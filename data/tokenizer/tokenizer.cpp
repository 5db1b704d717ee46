#include "data/tokenizer/tokenizer.hpp"

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "data/tokenizer/bpe_tokenizer.hpp"
#include "data/tokenizer/byte_tokenizer.hpp"
#include "data/tokenizer/character_tokenizer.hpp"
#include "data/tokenizer/hugging_face.hpp"
#include "data/tokenizer/sentencepiece_tokenizer.hpp"
#include "data/tokenizer/vocabulary_files.hpp"
#include "data/tokenizer/wordpiece_tokenizer.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using TokenizerPointer = std::unique_ptr<Tokenizer>;

struct BpeNames {
  const char *vocabulary, *merges;
};
constexpr BpeNames bpe_names[] = {{"vocab.json", "merges.txt"}, {"encoder.json", "vocab.bpe"}};

TokenizerPointer open_bpe(const fs::path& directory, const BpeNames& names) {
  BpeVocabulary vocabulary;
  vocabulary.vocabulary_path = (directory / names.vocabulary).string();
  vocabulary.merges_path = (directory / names.merges).string();
  std::string content = read_vocabulary_file(vocabulary.vocabulary_path);
  std::string merges = read_vocabulary_file(vocabulary.merges_path);
  vocabulary.tokens =
      tokens_by_id(vocabulary.vocabulary_path, parse_json(vocabulary.vocabulary_path, content));
  vocabulary.merges = parse_merges(vocabulary.merges_path, merges);
  vocabulary.files = {{names.vocabulary, std::move(content)}, {names.merges, std::move(merges)}};
  return std::make_unique<BpeTokenizer>(std::move(vocabulary));
}

// What tokenizer_config.json beside the vocabulary says about case; it keeps an earlier choice.
Lowercase stored_lowercase(const fs::path& vocabulary) {
  const std::string path = (vocabulary.parent_path() / "tokenizer_config.json").string();
  std::error_code error;
  if (!fs::exists(path, error)) return Lowercase::automatic;
  const nlohmann::json config = parse_json(path, read_vocabulary_file(path));
  require(config.is_object(), path, ": not a JSON object");
  if (!config.contains("do_lower_case")) return Lowercase::automatic;
  const nlohmann::json& value = config["do_lower_case"];
  require(value.is_boolean(), path, ": field `do_lower_case` is ", value.type_name(),
          ", must be true or false");
  return value.get<bool>() ? Lowercase::yes : Lowercase::no;
}

TokenizerPointer open_wordpiece(const fs::path& path, Lowercase lowercase) {
  if (lowercase == Lowercase::automatic) lowercase = stored_lowercase(path);
  const std::string name = path.string();
  return std::make_unique<WordPieceTokenizer>(name, split_lines(read_vocabulary_file(name)),
                                              lowercase);
}

TokenizerPointer open_sentencepiece(const fs::path& path) {
  return std::make_unique<SentencePieceTokenizer>(path.string(),
                                                  read_vocabulary_file(path.string()));
}

// characters.json or tokenizer.json, whatever the file is called.
TokenizerPointer open_json(const fs::path& path, Lowercase lowercase) {
  const std::string name = path.string();
  const std::string content = read_vocabulary_file(name);
  const nlohmann::json json = parse_json(name, content);
  if (json.is_object() && json.contains("model"))
    return read_hugging_face(name, content, json, lowercase);
  if (json.is_object() && json.contains("characters")) {
    return std::make_unique<CharacterTokenizer>(name, string_field(name, json, "characters"));
  }
  throw Error(build_string(
      name,
      ": neither a tokenizer.json (field `model`) nor a characters.json (field "
      "`characters`); a vocabulary needs its merges beside it: vocab.json + merges.txt"));
}

TokenizerPointer open_file(const fs::path& path, Lowercase lowercase) {
  const std::string name = path.filename().string();
  for (const BpeNames& names : bpe_names) {
    if (name == names.vocabulary || name == names.merges)
      return open_bpe(path.parent_path(), names);
  }
  const std::string extension = path.extension().string();
  if (extension == ".txt") return open_wordpiece(path, lowercase);
  if (extension == ".model") return open_sentencepiece(path);
  if (extension == ".json") return open_json(path, lowercase);
  throw Error(
      build_string("tokenizer ", path.string(),
                   ": unknown kind of file; known are vocab.json, encoder.json, *.txt (WordPiece), "
                   "*.model (SentencePiece), tokenizer.json, characters.json"));
}

std::vector<fs::path> models_in(const fs::path& directory) {
  std::vector<fs::path> models;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".model") models.push_back(entry->path());
  }
  require(!error, "cannot read directory ", directory.string(), ": ", error.message());
  std::sort(models.begin(), models.end());
  return models;
}

TokenizerPointer open_directory(const fs::path& directory, Lowercase lowercase) {
  const auto has = [&](const char* name) {
    std::error_code error;
    return fs::exists(directory / name, error);
  };
  for (const BpeNames& names : bpe_names) {
    if (has(names.vocabulary) && has(names.merges)) return open_bpe(directory, names);
  }
  if (has("vocab.txt")) return open_wordpiece(directory / "vocab.txt", lowercase);
  const std::vector<fs::path> models = models_in(directory);
  require(models.size() <= 1, "tokenizer ", directory.string(), ": ", models.size(),
          " SentencePiece models; name the file");
  if (!models.empty()) return open_sentencepiece(models[0]);
  for (const char* name : {"tokenizer.json", "characters.json"}) {
    if (has(name)) return open_json(directory / name, lowercase);
  }
  // Half a pair: opening it names the missing half.
  for (const BpeNames& names : bpe_names) {
    if (has(names.vocabulary) || has(names.merges)) return open_bpe(directory, names);
  }
  throw Error(build_string(
      "tokenizer ", directory.string(),
      ": no vocabulary in this directory; known are vocab.json + merges.txt, encoder.json + "
      "vocab.bpe, vocab.txt, *.model, tokenizer.json, characters.json"));
}

}  // namespace

TokenizerPointer open_tokenizer(const std::string& spec, Lowercase lowercase) {
  TokenizerPointer tokenizer;
  std::error_code error;
  if (spec == "bytes") {
    tokenizer = std::make_unique<ByteTokenizer>();
  } else {
    require(fs::exists(spec, error), "tokenizer ", spec,
            ": no such file or directory (`bytes` needs none)");
    tokenizer = fs::is_directory(spec, error) ? open_directory(spec, lowercase)
                                              : open_file(spec, lowercase);
  }
  require(lowercase == Lowercase::automatic || tokenizer->kind() == "wordpiece",
          "--lowercase has no effect on ", spec, ", a tokenizer of kind ", tokenizer->kind(),
          "; leave it out");
  return tokenizer;
}

}  // namespace lockstep
