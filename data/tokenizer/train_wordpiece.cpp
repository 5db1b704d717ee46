#include "data/tokenizer/train_wordpiece.hpp"

#include <algorithm>
#include <map>

#include "data/tokenizer/pair_trainer.hpp"
#include "data/utf8.hpp"

namespace lockstep {
namespace {

constexpr std::size_t max_word_characters = 200;  // longer ones are [UNK] whatever the vocabulary

// The word's characters as tokens: "w", "##o", "##r", "##d".
std::vector<std::string> symbols_of(const std::string& word) {
  std::vector<std::string> symbols;
  for (std::size_t i = 0; i < word.size();) {
    const std::size_t begin = i;
    next_code_point(word, i);
    symbols.push_back((begin == 0 ? "" : "##") + word.substr(begin, i - begin));
  }
  return symbols;
}

std::string join_pieces(const std::string& left, const std::string& right) {
  return left + right.substr(2);
}

using SymbolCounts = std::vector<std::pair<std::string, std::uint64_t>>;

// How many of the symbols, most frequent first, a vocabulary with `room` for them and their merges
// takes: a tenth of the room in any case; more to cover 99.95 % of the text's characters, but half
// of the room at most.
std::size_t alphabet_size(const SymbolCounts& symbols, std::size_t room) {
  std::uint64_t total = 0;
  for (const auto& [symbol, count] : symbols) total += count;
  std::uint64_t covered = 0;
  std::size_t size = 0;
  while (size < symbols.size() && size < room / 2 &&
         (size < room / 10 || total - covered > total / 2000)) {
    covered += symbols[size++].second;
  }
  return size;
}

// The symbols that get an id: those that begin words first, each part in order of its text.
std::vector<std::string> choose_alphabet(const std::map<std::string, std::uint64_t>& counts,
                                         std::size_t room) {
  SymbolCounts symbols(counts.begin(), counts.end());
  std::stable_sort(symbols.begin(), symbols.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  symbols.resize(alphabet_size(symbols, room));
  std::vector<std::string> alphabet;
  for (const auto& [symbol, count] : symbols) alphabet.push_back(symbol);
  const auto is_inner = [](const std::string& symbol) {
    return symbol.size() > 2 && symbol.compare(0, 2, "##") == 0;
  };
  std::sort(alphabet.begin(), alphabet.end(), [&](const std::string& a, const std::string& b) {
    return is_inner(a) != is_inner(b) ? is_inner(b) : a < b;
  });
  return alphabet;
}

}  // namespace

std::vector<std::string> learn_wordpieces(const WordCounts& words, std::size_t num_tokens) {
  std::vector<std::pair<std::vector<std::string>, std::uint64_t>> spelled;
  std::map<std::string, std::uint64_t> counts;
  for (const auto& [word, count] : words) {
    std::vector<std::string> symbols = symbols_of(word);
    if (symbols.size() > max_word_characters) continue;
    for (const std::string& symbol : symbols) counts[symbol] += count;
    spelled.emplace_back(std::move(symbols), count);
  }
  std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  const std::vector<std::string> alphabet = choose_alphabet(counts, num_tokens - tokens.size());
  tokens.insert(tokens.end(), alphabet.begin(), alphabet.end());
  std::map<std::string, std::int32_t> ids;
  for (std::size_t id = 0; id < tokens.size(); ++id)
    ids.emplace(tokens[id], static_cast<std::int32_t>(id));
  std::vector<TrainingWord> training;
  for (const auto& [symbols, count] : spelled) {
    TrainingWord word{{}, count};
    for (const std::string& symbol : symbols) {
      if (const auto found = ids.find(symbol); found != ids.end())
        word.symbols.push_back(found->second);
    }
    // A word with a dropped character is [UNK]: its other pairs would only take room.
    if (word.symbols.size() == symbols.size()) training.push_back(std::move(word));
  }
  learn_merges(std::move(training), tokens, num_tokens, join_pieces);
  return tokens;
}

}  // namespace lockstep
