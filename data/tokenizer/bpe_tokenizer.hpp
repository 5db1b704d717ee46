// GPT-2's byte-level BPE: gpt2_splitter, then merges on the bytes of each piece, lowest rank first.
// Every byte has an id, so any text comes back exactly. Specials are entries that no merge makes:
// <|endoftext|> (eod), and <pad> <unk> <s> </s> <mask> where a vocabulary has them.
#pragma once

#include <array>
#include <string>
#include <unordered_map>

#include "data/tokenizer/character_table.hpp"
#include "data/tokenizer/pair_ranks.hpp"
#include "data/tokenizer/tokenizer.hpp"

namespace lockstep {

struct BpeVocabulary {
  std::string vocabulary_path, merges_path;  // for messages
  std::vector<std::string> tokens;  // by id, bytes as byte_characters; "" where an id is unused
  std::vector<std::pair<std::string, std::string>> merges;  // by rank
  std::vector<std::pair<std::string, std::string>> files;   // as they were read
};

// The lines of merges.txt / vocab.bpe.
std::vector<std::pair<std::string, std::string>> parse_merges(const std::string& path,
                                                              const std::string& content);

class BpeTokenizer final : public Tokenizer {
 public:
  // Error (refused) when a byte has no token or a merge's parts or result have none.
  explicit BpeTokenizer(BpeVocabulary vocabulary);

  const std::string& kind() const override { return kind_; }
  index_t vocab_size() const override { return static_cast<index_t>(bytes_.size()); }
  SpecialIds specials() const override { return specials_; }
  std::pair<std::int32_t, std::int32_t> random_ids() const override;
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override;
  std::string decode(const std::vector<std::int32_t>& ids) const override;
  std::vector<std::pair<std::string, std::string>> files() const override { return files_; }

 private:
  using Index = std::unordered_map<std::string_view, std::int32_t>;

  PairRanks make_ranks(const BpeVocabulary& vocabulary,
                       const Index& index,
                       std::vector<bool>& made);
  void find_specials(const Index& index, const std::vector<bool>& made);
  void find_whole_pieces();

  std::string kind_ = "gpt2-bpe";
  std::vector<std::pair<std::string, std::string>> files_;
  CharacterTable table_;
  std::vector<std::string> bytes_;  // by id: what it decodes to; "" for specials
  std::array<std::int32_t, 256> byte_ids_{};
  PairRanks ranks_{0};
  SpecialIds specials_;
  // Pieces that end as one token: most of a text. Found once here, so that encode() needs no cache
  // and no lock.
  Index whole_pieces_;  // views of bytes_
  std::size_t longest_piece_ = 0;
};

}  // namespace lockstep
