#include "data/tokenizer/bpe_tokenizer.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "data/tokenizer/bpe_merge.hpp"
#include "data/tokenizer/byte_characters.hpp"
#include "data/tokenizer/gpt2_splitter.hpp"
#include "data/tokenizer/ids.hpp"
#include "data/tokenizer/vocabulary_files.hpp"

namespace lockstep {
namespace {

// Above this the list and its heap cost less than moving symbols.
constexpr std::size_t short_word_bytes = 128;

}  // namespace

std::vector<std::pair<std::string, std::string>> parse_merges(const std::string& path,
                                                              const std::string& content) {
  std::vector<std::pair<std::string, std::string>> merges;
  const std::vector<std::string> lines = split_lines(content);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    if (i == 0 && line.rfind("#version", 0) == 0) continue;
    const std::size_t space = line.find(' ');
    if (space == 0 || space == std::string::npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string::npos) {
      throw Error(build_string(path, ": line ", i + 1, " is ", escaped(line.substr(0, 80)),
                               ", must be two tokens with one space between"));
    }
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

BpeTokenizer::BpeTokenizer(BpeVocabulary vocabulary) : files_(std::move(vocabulary.files)) {
  const ByteCharacters characters;
  Index index;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    if (!token.empty()) index.emplace(token, static_cast<std::int32_t>(id));
    // An added token may hold characters that stand for no byte: it is its own text.
    bytes_.push_back(characters.to_bytes(token).value_or(token));
  }
  std::vector<bool> made(bytes_.size(), false);
  for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    const auto found = index.find(characters.to_text(std::string(1, static_cast<char>(byte))));
    require(found != index.end(), vocabulary.vocabulary_path, ": no token for byte ", byte,
            "; a byte-level vocabulary has all 256");
    byte_ids_[byte] = found->second;
    made[static_cast<std::size_t>(found->second)] = true;
  }
  ranks_ = make_ranks(vocabulary, index, made);
  find_specials(index, made);
  find_whole_pieces();
}

PairRanks BpeTokenizer::make_ranks(const BpeVocabulary& vocabulary,
                                   const Index& index,
                                   std::vector<bool>& made) {
  PairRanks ranks(vocabulary.merges.size());
  for (std::size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    const std::string& left = vocabulary.merges[rank].first;
    const std::string& right = vocabulary.merges[rank].second;
    const auto id_of = [&](const std::string& token) {
      const auto found = index.find(token);
      if (found == index.end()) {
        throw Error(build_string(vocabulary.merges_path, ": merge ", rank + 1, " (", escaped(left),
                                 " ", escaped(right), ") needs the token ", escaped(token),
                                 ", which ", vocabulary.vocabulary_path, " does not have"));
      }
      return found->second;
    };
    const std::int32_t merged = id_of(left + right);
    ranks.set(id_of(left), id_of(right), {static_cast<std::uint32_t>(rank), merged});
    made[static_cast<std::size_t>(merged)] = true;
  }
  return ranks;
}

void BpeTokenizer::find_specials(const Index& index, const std::vector<bool>& made) {
  const std::pair<const char*, std::optional<std::int32_t>*> names[] = {
      {"<|endoftext|>", &specials_.eod}, {"<pad>", &specials_.pad}, {"<unk>", &specials_.unknown},
      {"<s>", &specials_.cls},           {"</s>", &specials_.sep},  {"<mask>", &specials_.mask}};
  for (const auto& [name, special] : names) {
    const auto found = index.find(name);
    // A text full of "<unk>" teaches it as an ordinary token.
    if (found == index.end() || made[static_cast<std::size_t>(found->second)]) continue;
    *special = found->second;
    bytes_[static_cast<std::size_t>(found->second)].clear();
  }
}

void BpeTokenizer::find_whole_pieces() {
  std::vector<std::int32_t> ids;
  std::vector<MergeSymbol> scratch;
  for (std::size_t id = 0; id < bytes_.size(); ++id) {
    const std::string& piece = bytes_[id];
    if (piece.empty() || piece.size() > short_word_bytes) continue;
    ids.clear();
    for (const char c : piece) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
    merge_short_word(ids, ranks_, scratch);
    if (ids.size() != 1 || ids[0] != static_cast<std::int32_t>(id)) continue;
    whole_pieces_.emplace(piece, ids[0]);
    longest_piece_ = std::max(longest_piece_, piece.size());
  }
}

std::pair<std::int32_t, std::int32_t> BpeTokenizer::random_ids() const {
  return ordinary_ids(specials_, vocab_size());
}

void BpeTokenizer::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  std::vector<std::int32_t> word;
  std::vector<MergeSymbol> scratch;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = gpt2_piece_end(text, begin, table_);
    const std::string_view piece = text.substr(begin, end - begin);
    begin = end;
    if (piece.size() <= longest_piece_) {
      if (const auto found = whole_pieces_.find(piece); found != whole_pieces_.end()) {
        ids.push_back(found->second);
        continue;
      }
    }
    word.clear();
    for (const char c : piece) word.push_back(byte_ids_[static_cast<unsigned char>(c)]);
    if (piece.size() <= short_word_bytes) {
      merge_short_word(word, ranks_, scratch);
    } else {
      merge_long_word(word, ranks_);
    }
    ids.insert(ids.end(), word.begin(), word.end());
  }
}

std::string BpeTokenizer::decode(const std::vector<std::int32_t>& ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    check_id(id, vocab_size());
    text += bytes_[static_cast<std::size_t>(id)];
  }
  return text;
}

}  // namespace lockstep
