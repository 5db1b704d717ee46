// BERT's WordPiece with Google's rules: bert_splitter, then the longest entry first; a word that
// cannot be covered, or has more than 200 characters, is [UNK]. Other libraries cut at 100 and
// differ in rare characters.
#pragma once

#include <string>
#include <unordered_map>

#include "data/tokenizer/bert_splitter.hpp"
#include "data/tokenizer/tokenizer.hpp"

namespace lockstep {

class WordPieceTokenizer final : public Tokenizer {
 public:
  // tokens by id, "##" marks those inside a word. Error (refused) naming `path` when an entry is no
  // token, comes twice, or [UNK] is missing. Lowercase::automatic: yes, unless an entry other than
  // [...] has an upper-case ASCII letter.
  WordPieceTokenizer(const std::string& path, std::vector<std::string> tokens, Lowercase lowercase);

  const std::string& kind() const override { return kind_; }
  index_t vocab_size() const override { return static_cast<index_t>(tokens_.size()); }
  SpecialIds specials() const override { return specials_; }
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override;
  // Words joined by spaces; padding, [CLS] and [SEP] give nothing, [UNK] and [MASK] themselves.
  std::string decode(const std::vector<std::int32_t>& ids) const override;
  std::vector<std::pair<std::string, std::string>> files() const override;

 private:
  using Index = std::unordered_map<std::string_view, std::int32_t>;

  void encode_word(std::string_view word, std::vector<std::int32_t>& ids) const;

  std::string kind_ = "wordpiece";
  std::vector<std::string> tokens_;
  Index first_, inner_;      // views of tokens_; inner ones without their "##"
  std::size_t longest_ = 0;  // bytes of the longest entry
  SpecialIds specials_;
  BertSplitter splitter_;
};

// The two files of a WordPiece vocabulary: vocab.txt and tokenizer_config.json, which keeps the
// choice of case.
std::vector<std::pair<std::string, std::string>> wordpiece_files(
    const std::vector<std::string>& tokens,
    bool lowercase);

}  // namespace lockstep
