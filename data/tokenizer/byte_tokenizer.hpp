// One id per byte: 0 to 255, then end of document 256 and mask 257. Needs no file.
#pragma once

#include "data/tokenizer/tokenizer.hpp"

namespace lockstep {

class ByteTokenizer final : public Tokenizer {
 public:
  const std::string& kind() const override { return kind_; }
  index_t vocab_size() const override { return 258; }
  SpecialIds specials() const override;
  std::pair<std::int32_t, std::int32_t> random_ids() const override { return {0, 256}; }
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override;
  std::string decode(const std::vector<std::int32_t>& ids) const override;
  std::vector<std::pair<std::string, std::string>> files() const override { return {}; }

 private:
  std::string kind_ = "bytes";
};

}  // namespace lockstep
