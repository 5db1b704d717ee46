#include "data/tokenizer/hugging_face.hpp"

#include <initializer_list>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "data/tokenizer/bpe_tokenizer.hpp"
#include "data/tokenizer/vocabulary_files.hpp"
#include "data/tokenizer/wordpiece_tokenizer.hpp"

namespace lockstep {
namespace {

using Json = nlohmann::json;

std::string shown(const Json& value) {
  const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 60) + "...";
}

// A part of the file with the name it has there, so that every refusal can say where.
class Section {
 public:
  Section(const std::string& path, std::string name, const Json& json)
      : path_(path), name_(std::move(name)), json_(json) {
    if (!json.is_object()) refuse("", json, "an object");
  }

  const Json& at(const char* field) const {
    if (const auto found = json_.find(field); found != json_.end()) return *found;
    return null_;
  }
  std::string name_of(const char* field) const {
    return name_.empty() || *field == '\0' ? name_ + field : name_ + "." + field;
  }
  Section section(const char* field) const { return {path_, name_of(field), at(field)}; }

  // The field must be one of `values`; a missing one counts as null.
  void expect(const char* field, std::initializer_list<Json> values) const {
    std::string wanted;
    for (const Json& value : values) {
      if (at(field) == value) return;
      wanted += (wanted.empty() ? "" : " or ") + shown(value);
    }
    refuse(field, at(field), wanted);
  }

  [[noreturn]] void refuse(const char* field, const Json& value, const std::string& wanted) const {
    throw Error(build_string(path_, ": `", name_of(field), "` is ", shown(value), ", supported is ",
                             wanted));
  }

 private:
  const std::string& path_;
  std::string name_;
  const Json& json_;
  Json null_;
};

// tokens gets the added tokens that the model's vocabulary lacks.
void add_tokens(const Section& root, const std::string& path, std::vector<std::string>& tokens) {
  const Json& added = root.at("added_tokens");
  if (added.is_null()) return;
  if (!added.is_array()) root.refuse("added_tokens", added, "an array");
  const std::size_t limit = 2 * (tokens.size() + added.size()) + 1024;
  for (std::size_t i = 0; i < added.size(); ++i) {
    const Section entry(path, build_string("added_tokens[", i, "]"), added[i]);
    const std::string content = string_field(path, added[i], "content");
    if (!entry.at("id").is_number_unsigned())
      entry.refuse("id", entry.at("id"), "a whole number from 0");
    const auto id = entry.at("id").get<std::uint64_t>();
    if (id >= limit || content.empty())
      entry.refuse("", added[i], "a token with an id near the others");
    if (id >= tokens.size()) tokens.resize(id + 1);
    if (!tokens[id].empty() && tokens[id] != content) {
      entry.refuse("id", entry.at("id"), "an id that " + escaped(tokens[id]) + " does not have");
    }
    tokens[id] = content;
  }
}

std::vector<std::pair<std::string, std::string>> read_merges(const Section& model,
                                                             const std::string& path) {
  const Json& merges = model.at("merges");
  if (!merges.is_array()) model.refuse("merges", merges, "an array of merges");
  std::vector<std::pair<std::string, std::string>> result;
  result.reserve(merges.size());
  for (const Json& merge : merges) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      result.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else if (merge.is_string()) {  // the older form, "left right"
      const auto parsed = parse_merges(path + ": merges", merge.get<std::string>());
      if (parsed.size() != 1)
        model.refuse("merges", merge, "\"left right\" or [\"left\", \"right\"]");
      result.push_back(parsed[0]);
    } else {
      model.refuse("merges", merge, "\"left right\" or [\"left\", \"right\"]");
    }
  }
  return result;
}

std::unique_ptr<Tokenizer> read_bpe(const Section& root,
                                    const std::string& path,
                                    const std::string& content,
                                    std::vector<std::string> tokens) {
  root.expect("normalizer", {nullptr});
  const Section splitter = root.section("pre_tokenizer");
  splitter.expect("type", {"ByteLevel"});
  splitter.expect("add_prefix_space", {false});
  splitter.expect("use_regex", {nullptr, true});
  const Section model = root.section("model");
  model.expect("dropout", {nullptr});
  model.expect("continuing_subword_prefix", {nullptr, ""});
  model.expect("end_of_word_suffix", {nullptr, ""});
  model.expect("byte_fallback", {nullptr, false});
  model.expect("ignore_merges", {nullptr, false});
  BpeVocabulary vocabulary;
  vocabulary.vocabulary_path = vocabulary.merges_path = path;
  vocabulary.tokens = std::move(tokens);
  vocabulary.merges = read_merges(model, path);
  vocabulary.files = {{"tokenizer.json", content}};
  return std::make_unique<BpeTokenizer>(std::move(vocabulary));
}

std::unique_ptr<Tokenizer> read_wordpiece(const Section& root,
                                          const std::string& path,
                                          std::vector<std::string> tokens,
                                          Lowercase lowercase) {
  const Section normalizer = root.section("normalizer");
  normalizer.expect("type", {"BertNormalizer"});
  normalizer.expect("clean_text", {true});
  normalizer.expect("handle_chinese_chars", {true});
  normalizer.expect("lowercase", {true, false});
  normalizer.expect("strip_accents", {nullptr, normalizer.at("lowercase")});
  root.section("pre_tokenizer").expect("type", {"BertPreTokenizer"});
  const Section model = root.section("model");
  model.expect("unk_token", {"[UNK]"});
  model.expect("continuing_subword_prefix", {"##"});
  if (lowercase == Lowercase::automatic) {
    lowercase = normalizer.at("lowercase") == true ? Lowercase::yes : Lowercase::no;
  }
  return std::make_unique<WordPieceTokenizer>(path, std::move(tokens), lowercase);
}

}  // namespace

std::unique_ptr<Tokenizer> read_hugging_face(const std::string& path,
                                             const std::string& content,
                                             const Json& json,
                                             Lowercase lowercase) {
  const Section root(path, "", json);
  const Section model = root.section("model");
  std::vector<std::string> tokens = tokens_by_id(path, model.at("vocab"));
  add_tokens(root, path, tokens);
  // Files written before the field existed are BPE; they have merges.
  const bool old_bpe = model.at("type").is_null() && !model.at("merges").is_null();
  if (!old_bpe) model.expect("type", {"BPE", "WordPiece"});
  if (old_bpe || model.at("type") == "BPE") return read_bpe(root, path, content, std::move(tokens));
  return read_wordpiece(root, path, std::move(tokens), lowercase);
}

}  // namespace lockstep
