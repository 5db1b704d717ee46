#include "data/tokenizer/bpe_merge.hpp"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

namespace lockstep {
namespace {

using Symbols = std::vector<MergeSymbol>;

void set_merges(Symbols& symbols, const PairRanks& ranks) {
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    const bool last = i + 1 == symbols.size();
    if (last) {
      symbols[i].merge = {};
    } else if (symbols[i].changed || symbols[i + 1].changed) {
      symbols[i].merge = ranks.find(symbols[i].id, symbols[i + 1].id);
    }
  }
}

// Joins every pair of `rank`, closing the gaps.
void join_pairs(Symbols& symbols, std::uint32_t rank) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < symbols.size(); ++i, ++kept) {
    const MergeSymbol symbol = symbols[i];
    const bool join = symbol.merge.rank == rank;
    symbols[kept] = {join ? symbol.merge.id : symbol.id, symbol.merge, join};
    if (join) ++i;
  }
  symbols.resize(kept);
}

// A word as a linked list, so that a merge moves nothing. Positions are those of the left part's
// first byte.
class LinkedWord {
 public:
  static constexpr std::uint32_t end = 0xFFFFFFFFu;

  LinkedWord(const std::vector<std::int32_t>& ids, const PairRanks& ranks)
      : ranks_(ranks), nodes_(ids.size()) {
    const auto size = static_cast<std::uint32_t>(ids.size());
    for (std::uint32_t i = 0; i < size; ++i) {
      nodes_[i] = {ids[i], i == 0 ? end : i - 1, i + 1 == size ? end : i + 1, {}, true};
    }
    for (std::uint32_t i = 0; i < size; ++i) update(i);
  }

  void merge_all() {
    std::vector<std::uint32_t> positions;
    while (!queue_.empty()) {
      // All occurrences of a pair come before any pair that their merging creates, even one of a
      // lower rank.
      const std::uint32_t rank = queue_.top().first;
      positions.clear();
      for (; !queue_.empty() && queue_.top().first == rank; queue_.pop()) {
        positions.push_back(queue_.top().second);
      }
      for (const std::uint32_t position : positions) {
        // Entries of pairs that are gone stay in the queue: they are recognised here.
        if (nodes_[position].alive && nodes_[position].merge.rank == rank) join(position);
      }
    }
  }

  void copy_to(std::vector<std::int32_t>& ids) const {
    ids.clear();
    if (nodes_.empty()) return;
    for (std::uint32_t i = 0; i != end; i = nodes_[i].next) ids.push_back(nodes_[i].id);
  }

 private:
  struct Node {
    std::int32_t id;
    std::uint32_t previous, next;
    Merge merge;
    bool alive;
  };
  using Entry = std::pair<std::uint32_t, std::uint32_t>;  // rank, position

  void update(std::uint32_t i) {
    Node& node = nodes_[i];
    node.merge = node.next == end ? Merge{} : ranks_.find(node.id, nodes_[node.next].id);
    if (node.merge.rank != Merge::none) queue_.emplace(node.merge.rank, i);
  }

  void join(std::uint32_t i) {
    Node& node = nodes_[i];
    Node& right = nodes_[node.next];
    node.id = node.merge.id;
    node.next = right.next;
    right.alive = false;
    if (node.next != end) nodes_[node.next].previous = i;
    update(i);
    if (node.previous != end) update(node.previous);
  }

  const PairRanks& ranks_;
  std::vector<Node> nodes_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue_;
};

}  // namespace

void merge_short_word(std::vector<std::int32_t>& ids, const PairRanks& ranks, Symbols& symbols) {
  symbols.clear();
  for (const std::int32_t id : ids) symbols.push_back({id, {}, true});
  while (symbols.size() > 1) {
    set_merges(symbols, ranks);
    std::uint32_t rank = Merge::none;
    for (const MergeSymbol& symbol : symbols) rank = std::min(rank, symbol.merge.rank);
    if (rank == Merge::none) break;
    join_pairs(symbols, rank);
  }
  ids.clear();
  for (const MergeSymbol& symbol : symbols) ids.push_back(symbol.id);
}

void merge_long_word(std::vector<std::int32_t>& ids, const PairRanks& ranks) {
  LinkedWord word(ids, ranks);
  word.merge_all();
  word.copy_to(ids);
}

}  // namespace lockstep
