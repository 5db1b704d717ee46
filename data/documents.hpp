// The documents of the inputs of `corpus build`, numbered in the order of the command line
// (directories: all files below, by name). Inputs are mapped; compressed ones and stdin are
// unpacked into the scratch directory first. 24 bytes of memory a document.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus_writer.hpp"
#include "data/mapped_file.hpp"

namespace lockstep {

const char* name_of(DocumentRule rule);

// Regular files behind the inputs of a command ("-" stays). Error (refused) naming an input that is
// not there.
std::vector<std::string> list_input_files(const std::vector<std::string>& inputs);

class Documents {
 public:
  // Error (refused) naming the file, and the line where there is one: not there, not gzip, no
  // <doc>, no document at all.
  Documents(const CorpusBuild& build, const std::string& scratch);

  DocumentRule rule() const { return rule_; }  // never automatic
  std::uint64_t count() const { return ranges_.size(); }
  std::uint64_t bytes() const { return bytes_; }  // of all ranges
  std::uint64_t range_bytes(std::uint64_t document) const { return ranges_[document].length; }
  // The text; for JSON lines decoded into `storage`. Valid until storage changes.
  std::string_view text(std::uint64_t document, std::string& storage) const;

 private:
  struct Input {
    std::string name;  // as typed or found: for messages
    MappedFile file;
  };
  struct Range {
    std::uint64_t begin, length;
    std::uint32_t input;
  };

  void add(std::uint32_t input, std::uint64_t begin, std::uint64_t end);
  void split(std::uint32_t input);
  void split_lines(std::uint32_t input, bool json);
  void split_at_blank_lines(std::uint32_t input);
  void split_wiki(std::uint32_t input);
  std::string place(std::uint64_t document) const;  // "FILE line 12"

  DocumentRule rule_;
  std::string json_key_;
  std::vector<Input> inputs_;
  std::vector<Range> ranges_;
  std::uint64_t bytes_ = 0;
};

}  // namespace lockstep
