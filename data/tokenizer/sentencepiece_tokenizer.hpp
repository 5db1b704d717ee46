// A SentencePiece model through its own library. eod is the model's </s>; cls, sep and mask exist
// where the model has control or user-defined pieces of the usual names.
#pragma once

#include <memory>
#include <string>

#include "data/tokenizer/tokenizer.hpp"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace lockstep {

class SentencePieceTokenizer final : public Tokenizer {
 public:
  // model: the bytes of the file at `path`. Error (refused) naming it when the library does not
  // take them.
  SentencePieceTokenizer(const std::string& path, std::string model);
  ~SentencePieceTokenizer() override;

  const std::string& kind() const override { return kind_; }
  index_t vocab_size() const override;
  SpecialIds specials() const override { return specials_; }
  std::pair<std::int32_t, std::int32_t> random_ids() const override { return random_ids_; }
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override;
  std::string decode(const std::vector<std::int32_t>& ids) const override;
  std::vector<std::pair<std::string, std::string>> files() const override;

 private:
  std::string kind_ = "sentencepiece";
  std::string model_;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  SpecialIds specials_;
  std::pair<std::int32_t, std::int32_t> random_ids_;
};

}  // namespace lockstep
