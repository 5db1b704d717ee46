// tokenizer.json of Hugging Face, as far as it says what this project's own tokenizers do:
// byte-level BPE with GPT-2's splitter, and BERT's WordPiece. Anything else in it that would change
// ids is refused by name. Added tokens in a text are ordinary text; post_processor, decoder,
// truncation and padding do not change the ids of a text and are not read.
#pragma once

#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "data/tokenizer/tokenizer.hpp"

namespace lockstep {

std::unique_ptr<Tokenizer> read_hugging_face(const std::string& path,
                                             const std::string& content,
                                             const nlohmann::json& json,
                                             Lowercase lowercase);

}  // namespace lockstep
