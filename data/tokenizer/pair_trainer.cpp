#include "data/tokenizer/pair_trainer.hpp"

#include <algorithm>
#include <queue>
#include <unordered_map>

namespace lockstep {
namespace {

using Pair = std::pair<std::int32_t, std::int32_t>;

struct HashPair {
  std::size_t operator()(const Pair& pair) const {
    const auto key = static_cast<std::uint64_t>(static_cast<std::uint32_t>(pair.first)) << 32 |
                     static_cast<std::uint32_t>(pair.second);
    const std::uint64_t product = key * 0x9E3779B97F4A7C15u;
    return static_cast<std::size_t>(product ^ (product >> 32));
  }
};

struct Occurrences {
  std::uint64_t count = 0;
  std::vector<std::uint32_t> words;  // that held the pair once; some may have lost it
};

struct Candidate {
  std::uint64_t count;
  Pair pair;
};

// True when b is to be joined before a.
struct Later {
  const std::vector<std::string>* tokens;

  bool operator()(const Candidate& a, const Candidate& b) const {
    if (a.count != b.count) return a.count < b.count;
    const auto text = [this](std::int32_t id) -> const std::string& {
      return (*tokens)[static_cast<std::size_t>(id)];
    };
    const int left = text(a.pair.first).compare(text(b.pair.first));
    return left != 0 ? left > 0 : text(a.pair.second) > text(b.pair.second);
  }
};

class PairTrainer {
 public:
  PairTrainer(std::vector<TrainingWord> words, std::vector<std::string>& tokens)
      : words_(std::move(words)), tokens_(tokens), queue_(Later{&tokens}) {
    for (std::size_t id = 0; id < tokens.size(); ++id) {
      ids_.emplace(tokens[id], static_cast<std::int32_t>(id));
    }
    for (std::uint32_t word = 0; word < words_.size(); ++word) add_pairs(word, any_id, nullptr);
    for (const auto& [pair, occurrences] : pairs_) queue_.push({occurrences.count, pair});
  }

  // The most frequent pair that occurs twice; false when there is none.
  bool next(Pair& pair) {
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      const auto found = pairs_.find(best.pair);
      const std::uint64_t count = found == pairs_.end() ? 0 : found->second.count;
      if (count == best.count && count >= 2) {
        pair = best.pair;
        return true;
      }
      // Counts that fell are corrected here only; those that rise are queued at once by join().
      if (count < best.count && count >= 2) queue_.push({count, best.pair});
    }
    return false;
  }

  void join(const Pair& pair, const std::string& text) {
    const auto [entry, added] = ids_.emplace(text, static_cast<std::int32_t>(tokens_.size()));
    if (added) tokens_.push_back(text);
    const std::vector<std::uint32_t> words = std::move(pairs_[pair].words);
    std::vector<Pair> risen;
    for (const std::uint32_t word : words) join_in_word(word, pair, entry->second, risen);
    pairs_.erase(pair);
    std::sort(risen.begin(), risen.end());
    risen.erase(std::unique(risen.begin(), risen.end()), risen.end());
    for (const Pair& changed : risen) queue_.push({pairs_[changed].count, changed});
  }

 private:
  static constexpr std::int32_t any_id = -1;

  // Counts all pairs of a word; lists the word, and in `risen`, under those pairs that have `id`.
  void add_pairs(std::uint32_t word, std::int32_t id, std::vector<Pair>* risen) {
    const std::vector<std::int32_t>& symbols = words_[word].symbols;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const Pair pair{symbols[i], symbols[i + 1]};
      Occurrences& occurrences = pairs_[pair];
      occurrences.count += words_[word].count;
      if (id != any_id && pair.first != id && pair.second != id) continue;
      if (occurrences.words.empty() || occurrences.words.back() != word)
        occurrences.words.push_back(word);
      if (risen != nullptr) risen->push_back(pair);
    }
  }

  void remove_pairs(std::uint32_t word) {
    const std::vector<std::int32_t>& symbols = words_[word].symbols;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      pairs_[{symbols[i], symbols[i + 1]}].count -= words_[word].count;
    }
  }

  void join_in_word(std::uint32_t word,
                    const Pair& pair,
                    std::int32_t id,
                    std::vector<Pair>& risen) {
    std::vector<std::int32_t>& symbols = words_[word].symbols;
    std::vector<std::int32_t> joined;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      const bool here =
          i + 1 < symbols.size() && symbols[i] == pair.first && symbols[i + 1] == pair.second;
      joined.push_back(here ? id : symbols[i]);
      if (here) ++i;
    }
    if (joined.size() == symbols.size()) return;
    remove_pairs(word);
    symbols = std::move(joined);
    add_pairs(word, id, &risen);
  }

  std::vector<TrainingWord> words_;
  std::vector<std::string>& tokens_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::unordered_map<Pair, Occurrences, HashPair> pairs_;
  std::priority_queue<Candidate, std::vector<Candidate>, Later> queue_;
};

}  // namespace

std::vector<Pair> learn_merges(std::vector<TrainingWord> words,
                               std::vector<std::string>& tokens,
                               std::size_t num_tokens,
                               const JoinTokens& join) {
  PairTrainer trainer(std::move(words), tokens);
  std::vector<Pair> merges;
  Pair pair;
  while (tokens.size() < num_tokens && trainer.next(pair)) {
    merges.push_back(pair);
    trainer.join(pair, join(tokens[static_cast<std::size_t>(pair.first)],
                            tokens[static_cast<std::size_t>(pair.second)]));
  }
  return merges;
}

}  // namespace lockstep
