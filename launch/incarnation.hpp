// Which start of a run may write to its directory: the last one that took it over. DIR/incarnation
// holds a number that grows with each start and a word that no two starts share. Rank 0 alone reads
// and writes it.
//
// Why an older start that was frozen cannot commit over a newer one: it makes its temporary
// directory, writes, looks at this file, renames. The newer start writes this file, then renames
// all temporary directories of older numbers away. If the old one made its directory before that,
// its rename finds nothing; if after, its look finds the new number.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep {

class Incarnation {
 public:
  Incarnation() = default;
  // Takes the directory over. Throws Error (failed) when the file cannot be written.
  static Incarnation take(const std::string& directory);

  std::int64_t number() const { return number_; }
  // Part of every temporary name: "i7-5f3a...".
  std::string word() const;
  // Another start has taken the directory over. A look at the file's inode and
  // time, most of the time. A file
  // that cannot be read is no proof.
  bool superseded() const;
  void check() const;  // throws Error (failed) that names both numbers

 private:
  std::string path_, token_;
  std::int64_t number_ = 0;
  mutable std::string stamp_;       // of the file as last read
  mutable std::int64_t newer_ = 0;  // 0: none seen
};

}  // namespace lockstep
