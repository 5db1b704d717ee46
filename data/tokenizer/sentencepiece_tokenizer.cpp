#include "data/tokenizer/sentencepiece_tokenizer.hpp"

#include <sentencepiece_processor.h>

#include "core/error.hpp"
#include "data/tokenizer/ids.hpp"

namespace lockstep {
namespace {

using Processor = sentencepiece::SentencePieceProcessor;

std::optional<std::int32_t> reserved(int id) {
  if (id < 0) return std::nullopt;
  return id;
}

// The first of `names` that the model has; the library answers unknown names with the id of <unk>.
std::optional<std::int32_t> named_piece(const Processor& processor,
                                        std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const int id = processor.PieceToId(name);
    if (id >= 0 && id < processor.GetPieceSize() && id != processor.unk_id() &&
        processor.IdToPiece(id) == name)
      return id;
  }
  return std::nullopt;
}

// The longest run of pieces that text can give, [first, last).
std::pair<std::int32_t, std::int32_t> text_pieces(const Processor& processor,
                                                  const SpecialIds& specials) {
  std::pair<std::int32_t, std::int32_t> best{0, 0};
  std::int32_t first = 0;
  const std::int32_t size = processor.GetPieceSize();
  for (std::int32_t id = 0; id <= size; ++id) {
    const bool ordinary = id < size && !processor.IsControl(id) && !processor.IsUnknown(id) &&
                          !processor.IsUnused(id) && !is_special(specials, id);
    if (ordinary) continue;
    if (id - first > best.second - best.first) best = {first, id};
    first = id + 1;
  }
  return best;
}

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(const std::string& path, std::string model)
    : model_(std::move(model)), processor_(std::make_unique<Processor>()) {
  const auto status = processor_->LoadFromSerializedProto(model_);
  require(status.ok(), path, ": not a SentencePiece model, or a damaged one (", model_.size(),
          " bytes)");
  require(processor_->GetPieceSize() > 0, path, ": a SentencePiece model without pieces");
  specials_.eod = reserved(processor_->eos_id());
  specials_.pad = reserved(processor_->pad_id());
  specials_.unknown = reserved(processor_->unk_id());
  specials_.cls = named_piece(*processor_, {"[CLS]", "<cls>"});
  specials_.sep = named_piece(*processor_, {"[SEP]", "<sep>"});
  specials_.mask = named_piece(*processor_, {"[MASK]", "<mask>"});
  random_ids_ = text_pieces(*processor_, specials_);
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

index_t SentencePieceTokenizer::vocab_size() const { return processor_->GetPieceSize(); }

void SentencePieceTokenizer::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  std::vector<int> pieces;
  const auto status = processor_->Encode({text.data(), text.size()}, &pieces);
  if (!status.ok())
    fail("SentencePiece cannot encode a text of ", text.size(), " bytes: ", status.message());
  ids.insert(ids.end(), pieces.begin(), pieces.end());
}

std::string SentencePieceTokenizer::decode(const std::vector<std::int32_t>& ids) const {
  for (const std::int32_t id : ids) check_id(id, vocab_size());
  std::string text;
  const auto status = processor_->Decode(std::vector<int>(ids.begin(), ids.end()), &text);
  if (!status.ok()) fail("SentencePiece cannot decode ", ids.size(), " ids: ", status.message());
  return text;
}

std::vector<std::pair<std::string, std::string>> SentencePieceTokenizer::files() const {
  return {{"sentencepiece.model", model_}};
}

}  // namespace lockstep
