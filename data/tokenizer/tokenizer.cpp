#include "data/tokenizer/tokenizer.hpp"

#include "core/error.hpp"
#include "data/tokenizer/byte_tokenizer.hpp"

namespace lockstep {

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& spec, Lowercase) {
  require(spec == "bytes", "tokenizer ", spec, ": no such file or directory");
  return std::make_unique<ByteTokenizer>();
}

}  // namespace lockstep
