// `tokenizer train`, `encode` and `decode`.
#include "data/tokenizer/tokenizer.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "core/error.hpp"
#include "data/tokenizer/train.hpp"
#include "launch/commands/commands.hpp"
#include "launch/commands/lowercase.hpp"

namespace lockstep {
namespace {

// The file named on the command line, or stdin. Lines end at LF only; the last one may lack it.
class Lines {
 public:
  explicit Lines(const OptionValues& values) {
    if (values.positional().empty() || values.positional().front() == "-") return;
    name_ = values.positional().front();
    file_.open(name_, std::ios::binary);
    require(file_.is_open(), name_, ": cannot be read: ", std::strerror(errno));
    require(!std::filesystem::is_directory(name_), name_, ": is a directory, not a text file");
  }
  bool next(std::string& line) {
    ++number_;
    std::istream& stream = file_.is_open() ? file_ : std::cin;
    return static_cast<bool>(std::getline(stream, line));
  }
  std::string place() const { return build_string(name_, ", line ", number_); }

 private:
  std::string name_ = "standard input";
  std::ifstream file_;
  std::uint64_t number_ = 0;
};

std::unique_ptr<Tokenizer> tokenizer_of(const OptionValues& values) {
  return open_tokenizer(values.text("tokenizer"), lowercase_named(values.text("lowercase")));
}

}  // namespace

int run_tokenizer_train(const OptionValues& values) {
  const std::string& kind = values.text("kind");
  const auto size = values.integer_if("vocab-size");
  if (kind == "characters") {
    require(!values.given("vocab-size"), values.typed("vocab-size"),
            " has no effect with --kind characters: each code point gets an id");
  } else {
    require(size.has_value(), "--vocab-size is missing: --kind ", kind, " needs --vocab-size N");
  }
  train_tokenizer(kind, size.value_or(0), values.positional(), values.text("output"));
  const auto made = open_tokenizer(values.text("output"));
  std::cout << values.text("output") << ": " << kind << ", " << made->vocab_size() << " ids\n";
  return 0;
}

int run_tokenizer_encode(const OptionValues& values) {
  const auto tokenizer = tokenizer_of(values);
  Lines lines(values);
  std::string line, text;
  std::vector<std::int32_t> ids;
  while (lines.next(line)) {
    ids.clear();
    tokenizer->encode(line, ids);
    text.clear();
    for (const std::int32_t id : ids) {
      if (!text.empty()) text += ' ';
      text += std::to_string(id);
    }
    std::cout << text << '\n';
  }
  return 0;
}

int run_tokenizer_decode(const OptionValues& values) {
  const auto tokenizer = tokenizer_of(values);
  Lines lines(values);
  std::string line, word;
  while (lines.next(line)) {
    std::vector<std::int32_t> ids;
    std::istringstream words(line);
    while (words >> word) {
      const auto id = parse_integer(word);
      require(id && *id >= 0 && *id < tokenizer->vocab_size(), lines.place(), ": '", word,
              "' is not an id from 0 to ", tokenizer->vocab_size() - 1);
      ids.push_back(static_cast<std::int32_t>(*id));
    }
    std::cout << tokenizer->decode(ids) << '\n';
  }
  return 0;
}

}  // namespace lockstep
