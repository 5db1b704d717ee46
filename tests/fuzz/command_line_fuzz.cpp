// Command lines: a word a line, the first the command's number.
#include <sstream>

#include "launch/options.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream in{std::string(lockstep::fuzz::text_of(data, size))};
  std::string first;
  std::getline(in, first);
  std::vector<std::string> words;
  for (std::string word; std::getline(in, word);) words.push_back(word);
  const auto& commands = lockstep::command_table();
  const std::size_t number = first.empty() ? 0 : static_cast<unsigned char>(first[0]);
  lockstep::fuzz::expect_error_or_success(
      [&] { lockstep::OptionValues(commands[number % commands.size()].command, words); });
  lockstep::fuzz::expect_error_or_success([&] {
    lockstep::check_ranks(words, 4);
    lockstep::read_run_options(words);
  });
  return 0;
}
