// Text to ids and back. Implementations are immutable after construction and may be shared by
// threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/dtype.hpp"

namespace lockstep {

// Ids with a meaning for objectives; those a vocabulary lacks are absent.
struct SpecialIds {
  std::optional<std::int32_t> eod;  // end of document: appended by corpus build when present
  std::optional<std::int32_t> pad, unknown, cls, sep, mask;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual const std::string& kind()
      const = 0;  // "bytes", "characters", "gpt2-bpe", "wordpiece", "sentencepiece"
  virtual index_t vocab_size() const = 0;  // ids are below this, specials included
  virtual SpecialIds specials() const = 0;
  // MLM replaces a token by a random one of [first, last): all ids of a WordPiece vocabulary, else
  // the ordinary ones.
  virtual std::pair<std::int32_t, std::int32_t> random_ids() const {
    return {0, static_cast<std::int32_t>(vocab_size())};
  }
  // Appends. Specials in the text are ordinary text. Any bytes are accepted; invalid UTF-8 counts
  // as U+FFFD where code points matter.
  virtual void encode(std::string_view text, std::vector<std::int32_t>& ids) const = 0;
  // eod, pad, cls and sep give nothing. Error (refused) for an id outside of the vocabulary.
  virtual std::string decode(const std::vector<std::int32_t>& ids) const = 0;
  // The files that make it up, as (name, content): what a corpus keeps under tokenizer/.
  // open_tokenizer() of that directory gives the same tokenizer again. Empty for bytes.
  virtual std::vector<std::pair<std::string, std::string>> files() const = 0;
};

enum class Lowercase { automatic, yes, no };

// SPEC of docs/cli.md: `bytes`, a directory or a file. Throws Error (refused) naming the file and
// what is wrong in it.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& spec,
                                          Lowercase lowercase = Lowercase::automatic);

}  // namespace lockstep
