#include "data/tokenizer/train.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "data/tokenizer/bert_splitter.hpp"
#include "data/tokenizer/byte_characters.hpp"
#include "data/tokenizer/character_tokenizer.hpp"
#include "data/tokenizer/gpt2_splitter.hpp"
#include "data/tokenizer/pair_trainer.hpp"
#include "data/tokenizer/train_wordpiece.hpp"
#include "data/tokenizer/training_text.hpp"
#include "data/tokenizer/word_counts.hpp"
#include "data/tokenizer/wordpiece_tokenizer.hpp"
#include "data/utf8.hpp"

namespace lockstep {
namespace {

using Files = std::vector<std::pair<std::string, std::string>>;  // name, content

// Far above any vocabulary in use: a slip of the keyboard is not worth hours.
constexpr index_t largest_vocabulary = 10'000'000;
constexpr index_t smallest_bpe = 257;       // 256 bytes and the end of document
constexpr index_t smallest_wordpiece = 16;  // 5 specials and a few characters
// Longer pieces are counted in parts: one word of a megabyte would cost as much as the rest of the
// text.
constexpr std::size_t max_piece_bytes = 256;

void check_vocab_size(const std::string& kind, index_t vocab_size, index_t smallest) {
  require(vocab_size >= smallest && vocab_size <= largest_vocabulary, "--vocab-size ", vocab_size,
          ": a vocabulary of kind ", kind, " has ", smallest, " to ", largest_vocabulary,
          " tokens");
}

void check_output(const std::string& output) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::exists(output, error)) return;
  require(fs::is_directory(output, error), "--output ", output, ": exists and is no directory");
  require(fs::is_empty(output, error) && !error, "--output ", output,
          ": the directory holds files; name a new or an empty one");
}

Files train_characters(const std::vector<std::string>& inputs) {
  std::vector<bool> seen(0x110000, false);
  for (const std::string& input : inputs) {
    for_each_part(input, [&](std::string_view text) {
      for (std::size_t i = 0; i < text.size();) seen[next_code_point(text, i)] = true;
    });
  }
  std::string characters;
  for (char32_t c = 0; c < seen.size(); ++c) {
    if (seen[c]) append_utf8(characters, c);
  }
  require(!characters.empty(), "input ", inputs.front(), ": no text to learn a vocabulary from");
  return CharacterTokenizer("characters.json", characters).files();
}

WordCounts count_gpt2_pieces(const std::vector<std::string>& inputs) {
  const CharacterTable table;
  WordCounts counts;
  for (const std::string& input : inputs) {
    for_each_part(input, [&](std::string_view text) {
      for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end =
            std::min(gpt2_piece_end(text, begin, table), begin + max_piece_bytes);
        count_word(counts, text.substr(begin, end - begin));
        begin = end;
      }
    });
  }
  return counts;
}

// Ids as in GPT-2's own files: bytes in the order of their characters, merges, the end of document.
Files bpe_files(const std::vector<std::string>& tokens,
                const std::vector<std::pair<std::int32_t, std::int32_t>>& merges) {
  const ByteCharacters characters;
  std::string merge_lines = "#version: 0.2\n";
  std::vector<std::string> names;
  for (const std::string& token : tokens) names.push_back(characters.to_text(token));
  for (const auto& [left, right] : merges) {
    merge_lines +=
        names[static_cast<std::size_t>(left)] + " " + names[static_cast<std::size_t>(right)] + "\n";
  }
  names.push_back("<|endoftext|>");
  std::string vocabulary_text = "{";
  for (std::size_t id = 0; id < names.size(); ++id) {
    vocabulary_text +=
        (id == 0 ? "" : ", ") + nlohmann::json(names[id]).dump() + ": " + std::to_string(id);
  }
  return {{"vocab.json", vocabulary_text + "}\n"}, {"merges.txt", merge_lines}};
}

Files train_bpe(index_t vocab_size, const std::vector<std::string>& inputs) {
  const ByteCharacters characters;
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  std::sort(tokens.begin(), tokens.end(), [&](const std::string& a, const std::string& b) {
    return characters.character(static_cast<unsigned char>(a[0])) <
           characters.character(static_cast<unsigned char>(b[0]));
  });
  std::array<std::int32_t, 256> byte_ids{};
  for (std::size_t id = 0; id < 256; ++id) {
    byte_ids[static_cast<unsigned char>(tokens[id][0])] = static_cast<std::int32_t>(id);
  }
  std::vector<TrainingWord> words;
  for (const auto& [piece, count] : count_gpt2_pieces(inputs)) {
    TrainingWord word{{}, count};
    for (const char c : piece) word.symbols.push_back(byte_ids[static_cast<unsigned char>(c)]);
    words.push_back(std::move(word));
  }
  require(!words.empty(), "input ", inputs.front(), ": no text to learn a vocabulary from");
  const auto room = static_cast<std::size_t>(vocab_size - 1);  // the end of document comes last
  const auto merges =
      learn_merges(std::move(words), tokens, room,
                   [](const auto& left, const auto& right) { return left + right; });
  return bpe_files(tokens, merges);
}

Files train_wordpiece(index_t vocab_size, const std::vector<std::string>& inputs) {
  const BertSplitter splitter(true);
  WordCounts counts;
  for (const std::string& input : inputs) {
    for_each_part(input, [&](std::string_view text) {
      splitter.for_each_word(text, [&](std::string_view word) { count_word(counts, word); });
    });
  }
  require(!counts.empty(), "input ", inputs.front(), ": no words to learn a vocabulary from");
  return wordpiece_files(learn_wordpieces(counts, static_cast<std::size_t>(vocab_size)), true);
}

Files train(const std::string& kind, index_t vocab_size, const std::vector<std::string>& inputs) {
  if (kind == "characters") return train_characters(list_training_files(inputs));
  if (kind == "bpe") {
    check_vocab_size(kind, vocab_size, smallest_bpe);
    return train_bpe(vocab_size, list_training_files(inputs));
  }
  require(kind == "wordpiece", "--kind ", kind, ": known are characters, bpe, wordpiece");
  check_vocab_size(kind, vocab_size, smallest_wordpiece);
  return train_wordpiece(vocab_size, list_training_files(inputs));
}

}  // namespace

void train_tokenizer(const std::string& kind,
                     index_t vocab_size,
                     const std::vector<std::string>& inputs,
                     const std::string& output) {
  check_output(output);
  const Files files = train(kind, vocab_size, inputs);
  std::error_code error;
  std::filesystem::create_directories(output, error);
  if (error) fail("cannot make directory ", output, ": ", error.message());
  for (const auto& [name, content] : files) write_file_durably(output + "/" + name, content);
}

}  // namespace lockstep
